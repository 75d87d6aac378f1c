"""The compiler of api/*.api: what it refuses, with file and line, and that it is deterministic."""
import os
import subprocess
import sys
import tempfile

GEN, API = sys.argv[1], sys.argv[2:]

GROUP = 'group apps/v1 priority 10 1\n'
META = ('group meta/v1\ntype ListMeta\n\t1 continue string\n')

BAD = [
    ('type A\n', 'bad.api:1: expected a group line first'),
    (GROUP + '\t1 a string\n', 'bad.api:2: an indented line belongs to a type or resource'),
    (GROUP + 'typo A\n', 'bad.api:2: unknown word "typo"'),
    (GROUP + 'type A\n  1 a string\n', 'bad.api:3: indent with one tab'),
    (GROUP + 'type A\n\t0 a string\n', 'bad.api:3: field number "0"'),
    (GROUP + 'type A\n\t1 a\n', 'bad.api:3: expected NUMBER NAME TYPE'),
    (GROUP + 'type A\n\t1 a strin\n', 'bad.api:3: unknown type "strin"'),
    (GROUP + 'type A\n\t1 a other/v1.B\n', 'bad.api:3: unknown type "other/v1.B"'),
    (GROUP + 'type A\n\t1 a string\n\t1 b string\n', 'bad.api:4: field number 1 is used twice in apps/v1.A'),
    (GROUP + 'type A\n\t1 a string\n\t2 a string\n', 'bad.api:4: field "a" is declared twice in apps/v1.A'),
    (GROUP + 'type A\n\t1 a string\ntype A\n\t1 a string\n', 'type apps/v1.A is declared twice'),
    (GROUP + 'type A\n\t1 a string shiny\n', 'bad.api:3: unknown mark "shiny" on a field'),
    (GROUP + 'type A\n\t1 a string ={x\n', 'bad.api:3: default {x is no JSON'),
    (GROUP + 'type A\n\t1 a string is(nice)\n', 'bad.api:3: unknown format "nice"'),
    (GROUP + 'type A\n\t1 a []B map(k)\ntype B\n\t1 name string\n', 'bad.api:3: key "k" is no field of apps/v1.B'),
    (GROUP + 'type A\n\t1 a []B merge(k)\ntype B\n\t1 name string\n', 'bad.api:3: key "k" is no field of apps/v1.B'),
    (GROUP + 'type A\n\t1 a []string map(k)\n', 'bad.api:3: keys need a list of a struct type'),
    (GROUP + 'type A\n\t1 a string set\n', 'bad.api:3: set is for lists'),
    (GROUP + 'type A\n\tunion "kind" a b\n\t1 a *bool\n', 'bad.api:3: union: "b" is no pointer of apps/v1.A'),
    (GROUP + 'type A\n\tunion "kind" a a\n\t1 a *bool\n', 'bad.api:3: union: "a" is no pointer of apps/v1.A, or stands there twice'),
    (GROUP + 'type A\n\tunion a b\n\t1 a *bool\n', 'bad.api:3: expected union "WHAT IT IS" MEMBER...'),
    ('gate G alpha off\n' + GROUP + 'type A\n\t1 a string required gate(G)\n',
     'bad.api:4: what has a gate must be one that can be left out'),
    (GROUP + 'type A\n\t1 a string gate(G)\n', 'bad.api:3: unknown gate "G"'),
    (GROUP + 'type A root\nresource as A verbs(get) gate(G)\n', 'bad.api:3: unknown gate "G"'),
    ('gate G gamma off\n', 'bad.api:1: expected gate NAME STAGE on|off [locked]'),
    ('gate G beta off\ngate G beta on\n', 'bad.api:2: gate G is declared twice'),
    ('group apps/v1 priority 10 1 like apps/v2\n', 'bad.api:1: unknown group "apps/v2"'),
    (GROUP + 'type A\n\t- inline A\n', 'type apps/v1.A inlines itself'),
    (GROUP + 'type A\n\t1 a-b string\n\t2 a.b string\n', 'make the same symbol'),
    (GROUP + 'resource as A verbs(get)\n', 'bad.api:2: unknown type "A"'),
    (GROUP + 'type A root\nresource as A verbs(read)\n', 'bad.api:3: unknown verb "read"'),
    (GROUP + 'type A root\nresource as A\n', 'bad.api:3: resource as has no verbs'),
    (GROUP + 'type A root\nresource as A verbs(list)\n', 'bad.api:3: unknown type "AList"'),
    (GROUP + 'type A root\nresource as A verbs(get)\n\tcolumn X text\n', 'bad.api:4: unknown column type "text"'),
    ('group x/v1\ntype A root\nresource as A verbs(get)\n', 'bad.api:3: group x/v1 has resources but no priority'),
]


def run(out, files):
    return subprocess.run([sys.executable, GEN, '--out', out] + files, capture_output=True, text=True)


def read_all(folder):
    result = {}
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding='utf-8') as f:
            result[name] = f.read()
    return result


def main():
    checks = []
    with tempfile.TemporaryDirectory() as tmp:
        bad, meta = os.path.join(tmp, 'bad.api'), os.path.join(tmp, 'meta.api')
        with open(meta, 'w', encoding='utf-8') as f:
            f.write(META)
        for text, want in BAD:
            with open(bad, 'w', encoding='utf-8') as f:
                f.write(text)
            r = run(tmp, [bad, meta])
            checks.append((r.returncode == 1 and want in r.stderr and 'Traceback' not in r.stderr, want, r.stderr))
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        ra, rb = run(a, API), run(b, list(reversed(API)))
        checks.append((ra.returncode == 0 and rb.returncode == 0, 'the tree compiles', ra.stderr + rb.stderr))
        checks.append((read_all(a) == read_all(b), 'the order of the files does not matter', ''))
    print('1..%d' % len(checks))
    for i, (ok, name, detail) in enumerate(checks, 1):
        print('%s %d - %s' % ('ok' if ok else 'not ok', i, name.replace('#', '')))
        if not ok:
            print('# ' + detail.replace('\n', '\n# '))
    return 0 if all(ok for ok, _, _ in checks) else 1


sys.exit(main())
