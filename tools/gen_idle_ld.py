#!/usr/bin/env python3
"""Compiles src/cli/idle.order into a script that the linker adds to its own: those functions come first, together.

usage: gen_idle_ld.py NAMES OUT.ld

Memory holds a program by runs of many pages, and what lies beside a function that runs is there with it. A name that is no
more is passed over.
"""
import sys

# How a program begins is of the compiler.
HEAD = """SECTIONS {
	.text.idle : {
		*(.text.startup .text.startup.*)
		*crt1.o(.text .text.*)
		*crti.o(.text .text.*)
		*crtbegin*.o(.text .text.*)
		*libgcc.a:*(.text .text.*)
		*libc_nonshared.a:*(.text .text.*)
"""
TAIL = """	}
} INSERT BEFORE .text;
"""


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        names = [line.strip() for line in f if not line.startswith("#")]
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        f.write(HEAD + "".join(f"\t\t*(.text.{name} .text.{name}.*)\n" for name in names if name) + TAIL)


if __name__ == "__main__":
    main()
