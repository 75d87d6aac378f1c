"""Writes assembly that holds a file's bytes between pause_elf and pause_elf_end."""
import sys

source, out = sys.argv[1:]
with open(source, 'rb') as f:
    data = f.read()
with open(out, 'w', encoding='ascii') as f:
    f.write('.section .rodata\n.global pause_elf, pause_elf_end\npause_elf:\n')
    for i in range(0, len(data), 16):
        f.write('\t.byte ' + ','.join(str(b) for b in data[i:i + 16]) + '\n')
    f.write('pause_elf_end:\n\t.byte 0\n.section .note.GNU-stack,"",%progbits\n')
