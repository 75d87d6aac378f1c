"""Compiles api/*.api into symbols.h, symbols.c, resources.h, gates.h and schema_tables.c.

The language is described in api/README.md; the structs filled here in src/object/schema.h.
The output depends on nothing but the input files' text, in any order of the arguments.
Mistakes are reported as FILE:LINE: MESSAGE, all of them, and exit with status 1.
"""
import argparse
import json
import os
import re
import sys

SCALARS = {
    'bool': 'BOOL', 'int32': 'INT32', 'int64': 'INT64', 'float64': 'FLOAT64', 'string': 'STRING', 'bytes': 'BYTES',
    'Time': 'TIME', 'MicroTime': 'MICROTIME', 'Duration': 'DURATION', 'Quantity': 'QUANTITY',
    'IntOrString': 'INT_OR_STRING',
}
# Go structs by value: encoding/json's omitempty never leaves these out.
BY_VALUE_STRUCTS = {'Time', 'MicroTime', 'Duration', 'Quantity', 'IntOrString'}
FORMATS = {
    'label': 'DNS_LABEL', 'subdomain': 'DNS_SUBDOMAIN', 'label1035': 'DNS1035_LABEL',
    'qualifiedName': 'QUALIFIED_NAME', 'labelValue': 'LABEL_VALUE', 'port': 'PORT', 'portName': 'PORT_NAME',
    'ip': 'IP', 'cidr': 'CIDR', 'labels': 'LABELS', 'nonnegative': 'NONNEGATIVE', 'positive': 'POSITIVE',
}
VERBS = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection']
COLUMN_TYPES = {'string', 'integer', 'number', 'boolean', 'date'}
TOPOLOGIES = {'atomic': 'ATOMIC', 'set': 'SET', 'granular': 'GRANULAR'}
FLAG_MARKS = {
    'immutable': 'IMMUTABLE', 'deprecated': 'DEPRECATED', 'retainKeys': 'PATCH_RETAIN_KEYS',
    'replace': 'PATCH_REPLACE', 'nonempty': 'NONEMPTY', 'unasked': 'UNASKED',
}
TOKEN = re.compile(r'(?:"(?:[^"\\]|\\.)*"|\((?:[^()"]|"(?:[^"\\]|\\.)*"|\([^()]*\))*\)|[^\s"()])+')
STAGES = ['alpha', 'beta', 'ga', 'deprecated']
NAME = re.compile(r'[A-Za-z$_][A-Za-z0-9$_.\-/]*\Z')


class Problems:
    def __init__(self):
        self.list = []

    def add(self, at, msg):
        self.list.append('%s:%d: %s' % (at[0], at[1], msg))

    def stop_if_any(self):
        if self.list:
            sys.exit('\n'.join(self.list))


class Group:
    def __init__(self, name, version, at):
        self.name, self.version, self.at = name, version, at
        self.priority = self.version_priority = None
        self.package = None
        self.optin = False
        self.like = None

    @property
    def ref(self):
        return (self.name or 'core') + ('/' + self.version if self.version else '')


class Gate:
    def __init__(self, at, name, stage, on, locked):
        self.at, self.name, self.stage, self.on, self.locked = at, name, stage, on, locked


class Type:
    def __init__(self, group, name, at, doc):
        self.group, self.name, self.at, self.doc = group, name, at, doc
        self.root = self.atomic = self.opaque = self.defaults = False
        self.list_of = None
        self.fields = []
        self.union_noun, self.union = None, []
        self.flat = None
        self.index = None

    @property
    def ref(self):
        return self.group.ref + '.' + self.name

    @property
    def openapi(self):
        return self.group.package + '.' + self.name


class Field:
    """One line of a type; also, copied with `via` set, a member got from an inlined type."""

    def __init__(self, at):
        self.at = at
        self.number = 0
        self.name = self.type = self.doc = ''
        self.pointer = self.inline = False
        self.card = self.inner_card = 'ONE'
        self.required = self.always = self.omitempty = self.omitzero = False
        self.default = self.merge_key = self.format = self.gate = None
        self.topology = None
        self.keys = []
        self.enum = []
        self.flags = set()
        self.via = 0
        self.target = None


class Resource:
    def __init__(self, group, at):
        self.group, self.at = group, at
        self.plural = self.kind = self.singular = None
        self.namespaced = False
        self.short, self.categories, self.verbs, self.selects = [], [], [], []
        self.hash = ''
        self.stored = ''
        self.gate = None
        self.subs, self.columns = [], []
        self.type = None


class Sub:
    def __init__(self, at, name):
        self.at, self.name = at, name
        self.kind_ref = None
        self.body = True
        self.verbs = []
        self.group = self.kind = self.type = None


class Column:
    def __init__(self):
        self.name = self.type = self.format = self.doc = ''
        self.path = None
        self.priority = 0


def unquote(s):
    return json.loads(s) if s.startswith('"') else s


def mark_args(tok):
    """`map(a,b)` -> ('map', ['a', 'b']); `map` -> ('map', None)."""
    m = re.match(r'([A-Za-z0-9]+)\((.*)\)\Z', tok, re.S)
    if not m:
        return tok, None
    args = [a for a in re.findall(r'"(?:[^"\\]|\\.)*"|[^,]+', m.group(2))]
    return m.group(1), [unquote(a.strip()) for a in args]


class Parser:
    def __init__(self, problems):
        self.p = problems
        self.groups, self.types, self.resources = [], [], []
        self.extra = []
        self.gates = []

    def parse_file(self, path):
        group = cur = None
        base = os.path.basename(path)
        with open(path, encoding='utf-8') as f:
            for n, raw in enumerate(f, 1):
                at = (base, n)
                line = raw.rstrip('\n')
                if not line.strip() or line.lstrip().startswith('#'):
                    continue
                if line.startswith(' '):
                    self.p.add(at, 'indent with one tab')
                    continue
                text, sep, doc = line.partition(' -- ')
                toks = TOKEN.findall(text)
                if ''.join(toks) != ''.join(text.split()) and not re.search(r'["(]', text):
                    self.p.add(at, 'cannot read this line')
                    continue
                doc = doc.strip() if sep else ''
                if line.startswith('\t'):
                    if isinstance(cur, Type):
                        self.parse_field(cur, toks, doc, at)
                    elif isinstance(cur, Resource):
                        self.parse_resource_line(cur, toks, doc, at)
                    else:
                        self.p.add(at, 'an indented line belongs to a type or resource')
                    continue
                word, cur = toks[0], None
                if word == 'gate':
                    self.parse_gate(toks, at)
                elif word == 'group':
                    group = self.parse_group(toks, at)
                elif group is None:
                    self.p.add(at, 'expected a group line first')
                elif word in ('type', 'opaque'):
                    cur = self.parse_type(group, toks, doc, at)
                elif word == 'resource':
                    cur = self.parse_resource(group, toks, at)
                else:
                    self.p.add(at, 'unknown word "%s": expected group, type, opaque, resource or gate' % word)

    def parse_extra(self, path):
        base = os.path.basename(path)
        with open(path, encoding='utf-8') as f:
            for n, line in enumerate(f, 1):
                for name in line.partition('#')[0].split():
                    self.extra.append((name, (base, n)))

    def parse_gate(self, toks, at):
        ok = len(toks) in (4, 5) and NAME.match(toks[1]) and toks[2] in STAGES and toks[3] in ('on', 'off')
        if not ok or toks[4:] not in ([], ['locked']):
            self.p.add(at, 'expected gate NAME STAGE on|off [locked]')
            return
        if any(g.name == toks[1] for g in self.gates):
            self.p.add(at, 'gate %s is declared twice' % toks[1])
        self.gates.append(Gate(at, toks[1], toks[2], toks[3] == 'on', len(toks) == 5))

    def parse_group(self, toks, at):
        if len(toks) < 2:
            self.p.add(at, 'group: name missing')
            return None
        name, _, version = toks[1].partition('/')
        g = Group('' if name == 'core' else name, version, at)
        i = 2
        while i < len(toks):
            if toks[i] == 'priority' and i + 2 < len(toks) and toks[i + 1].isdigit() and toks[i + 2].isdigit():
                g.priority, g.version_priority = int(toks[i + 1]), int(toks[i + 2])
                i += 3
            elif toks[i] == 'package' and i + 1 < len(toks):
                g.package = toks[i + 1]
                i += 2
            elif toks[i] == 'like' and i + 1 < len(toks):
                g.like = toks[i + 1]
                i += 2
            elif toks[i] == 'optin':
                g.optin = True
                i += 1
            else:
                self.p.add(at, 'group: expected "priority GROUP VERSION", "package NAME", "like GROUP/VERSION" or '
                           '"optin", not "%s"' % toks[i])
                break
        if g.package is None:
            g.package = 'io.k8s.api.%s.%s' % (name.split('.')[0], version)
        for old in self.groups:
            if old.ref == g.ref:
                self.p.add(at, 'group %s is declared twice' % g.ref)
        self.groups.append(g)
        return g

    def parse_type(self, group, toks, doc, at):
        if len(toks) < 2 or not NAME.match(toks[1]):
            self.p.add(at, '%s: name missing' % toks[0])
            return None
        t = Type(group, toks[1], at, doc)
        t.opaque = toks[0] == 'opaque'
        for tok in toks[2:]:
            word, args = mark_args(tok)
            if word == 'root' and args is None:
                t.root = True
            elif word == 'atomic' and args is None:
                t.atomic = True
            elif word == 'list' and args and len(args) == 1:
                t.root, t.list_of = True, args[0]
            else:
                self.p.add(at, 'unknown mark "%s" on a type' % tok)
        self.types.append(t)
        return t

    def parse_field(self, t, toks, doc, at):
        f = Field(at)
        f.doc = doc
        if t.opaque or t.list_of:
            self.p.add(at, '%s has no fields of its own' % t.name)
            return
        if toks[0] == 'union':
            self.parse_union(t, toks, at)
            return
        if len(toks) < 3:
            self.p.add(at, 'expected NUMBER NAME TYPE')
            return
        if toks[0] != '-':
            if not toks[0].isdigit() or not 0 < int(toks[0]) < 65536:
                self.p.add(at, 'field number "%s" is not 1..65535 or "-"' % toks[0])
                return
            f.number = int(toks[0])
        if toks[1] == 'inline':
            f.inline, f.type = True, toks[2]
            if len(toks) > 3:
                self.p.add(at, 'an inlined type has no marks')
            t.fields.append(f)
            return
        f.name, ty = toks[1], toks[2]
        if not NAME.match(f.name):
            self.p.add(at, '"%s" is no field name' % f.name)
        if ty.startswith('map[]'):
            f.card, ty = 'MAP', ty[5:]
            if ty.startswith('[]'):
                f.inner_card, ty = 'LIST', ty[2:]
        elif ty.startswith('[]'):
            f.card, ty = 'LIST', ty[2:]
        elif ty.startswith('*'):
            f.pointer, ty = True, ty[1:]
        f.type = ty
        for tok in toks[3:]:
            self.parse_mark(f, tok, at)
        t.fields.append(f)

    def parse_union(self, t, toks, at):
        if len(toks) < 3 or not toks[1].startswith('"'):
            self.p.add(at, 'expected union "WHAT IT IS" MEMBER...')
            return
        noun = unquote(toks[1])
        if t.union_noun not in (None, noun):
            self.p.add(at, '%s is a union already' % t.name)
        t.union_noun = noun
        t.union += [(name, at) for name in toks[2:]]

    def parse_mark(self, f, tok, at):
        if tok.startswith('='):
            try:
                json.loads(tok[1:])
            except ValueError:
                self.p.add(at, 'default %s is no JSON' % tok[1:])
            f.default = tok[1:]
            return
        word, args = mark_args(tok)
        if word in ('required', 'always', 'omitempty', 'omitzero') and args is None:
            setattr(f, word, True)
        elif word in FLAG_MARKS and args is None:
            f.flags.add(FLAG_MARKS[word])
        elif word in TOPOLOGIES and args is None:
            f.topology = TOPOLOGIES[word]
        elif word == 'map' and args:
            f.topology, f.keys = 'MAP', args
            if f.card != 'LIST':
                self.p.add(at, 'map(...) is for lists')
        elif word == 'merge':
            f.flags.add('PATCH_MERGE')
            if args and len(args) == 1:
                f.merge_key = args[0]
            elif args is not None:
                self.p.add(at, 'merge takes one key')
        elif word in ('oneof', 'values') and args:
            f.enum = args
            if word == 'oneof':
                f.flags.add('ENUM')
            if f.type != 'string':
                self.p.add(at, '%s(...) is for strings' % word)
        elif word == 'gate' and args and len(args) == 1:
            f.gate = args[0]
        elif word == 'is' and args and len(args) == 1:
            if args[0] not in FORMATS:
                self.p.add(at, 'unknown format "%s"' % args[0])
            f.format = args[0]
        else:
            self.p.add(at, 'unknown mark "%s" on a field' % tok)

    def parse_verbs(self, args, at):
        if args == ['all']:
            return list(VERBS)
        for v in args:
            if v not in VERBS:
                self.p.add(at, 'unknown verb "%s"' % v)
        return [v for v in VERBS if v in args]

    def parse_resource(self, group, toks, at):
        if len(toks) < 3:
            self.p.add(at, 'expected resource PLURAL KIND')
            return None
        r = Resource(group, at)
        r.plural, r.kind = toks[1], toks[2]
        r.singular = r.kind.lower()
        for tok in toks[3:]:
            word, args = mark_args(tok)
            if word == 'namespaced' and args is None:
                r.namespaced = True
            elif word == 'verbs' and args:
                r.verbs = self.parse_verbs(args, at)
            elif word == 'short' and args:
                r.short = args
            elif word == 'categories' and args:
                r.categories = args
            elif word == 'hash' and args:
                r.hash = args[0]
            elif word == 'singular' and args:
                r.singular = args[0]
            elif word == 'gate' and args and len(args) == 1:
                r.gate = args[0]
            elif word == 'stored' and args and NAME.match(args[0]):
                r.stored = args[0]
            else:
                self.p.add(at, 'unknown mark "%s" on a resource' % tok)
        if not r.verbs:
            self.p.add(at, 'resource %s has no verbs' % r.plural)
        self.resources.append(r)
        return r

    def parse_resource_line(self, r, toks, doc, at):
        if toks[0] == 'sub' and len(toks) >= 3:
            s = Sub(at, toks[1])
            for tok in toks[2:]:
                word, args = mark_args(tok)
                if word == 'verbs' and args:
                    s.verbs = self.parse_verbs(args, at)
                elif tok == 'nobody':
                    s.body = False
                elif args is None and s.kind_ref is None:
                    s.kind_ref = tok
                else:
                    self.p.add(at, 'unknown mark "%s" on a subresource' % tok)
            r.subs.append(s)
        elif toks[0] == 'select' and len(toks) >= 2:
            r.selects += toks[1:]
        elif toks[0] == 'column' and len(toks) >= 3:
            c = Column()
            c.name, c.doc = unquote(toks[1]), doc
            c.type, args = mark_args(toks[2])
            c.format = args[0] if args else ''
            if c.type not in COLUMN_TYPES:
                self.p.add(at, 'unknown column type "%s"' % c.type)
            rest = toks[3:]
            if rest and rest[0] == 'wide':
                c.priority = 1
                rest = rest[1:]
            if len(rest) == 1:
                c.path = rest[0]
            elif rest:
                self.p.add(at, 'a column has one path')
            r.columns.append(c)
        else:
            self.p.add(at, 'expected sub, column or select')


class Model:
    """The parsed files with references resolved and inlined types flattened."""

    def __init__(self, parser):
        self.p = parser.p
        self.groups = sorted(parser.groups, key=lambda g: (-(g.priority or 0), g.name, -(g.version_priority or 0)))
        self.parsed = parser.resources
        self.gates = sorted(parser.gates, key=lambda g: g.name.encode())
        self.gate_ids = {g.name: i for i, g in enumerate(self.gates, 1)}
        if len(self.gates) > 254:
            self.p.add(self.gates[254].at, 'there are more gates than a byte can number')
        types = list(parser.types)
        for g in self.groups:
            if g.like and g.like not in [x.ref for x in self.groups]:
                self.p.add(g.at, 'unknown group "%s"' % g.like)
            elif g.like:
                self.copy_alike(g, types)
        self.types = sorted(types, key=lambda t: t.ref.encode())
        self.by_ref = {}
        for t in self.types:
            if t.ref in self.by_ref:
                self.p.add(t.at, 'type %s is declared twice' % t.ref)
            self.by_ref[t.ref] = t
        for i, t in enumerate(self.types):
            t.index = i
        for t in self.types:
            self.flatten(t, [])
        for t in self.types:
            self.check_type(t)
        self.mark_defaults()
        self.symbols = self.collect_symbols(parser.extra)
        order = {g.ref: i for i, g in enumerate(self.groups)}
        self.resources = sorted(parser.resources, key=lambda r: (order[r.group.ref], r.plural))
        self.resource_ids = self.resolve_resources()

    def find(self, ref, group, at):
        t = self.by_ref.get(ref if '.' in ref else group.ref + '.' + ref)
        if t is None:
            self.p.add(at, 'unknown type "%s"' % ref)
        return t

    def flatten(self, t, stack):
        if t.flat is not None:
            return t.flat
        if t in stack:
            self.p.add(t.at, 'type %s inlines itself' % t.ref)
            return []
        flat = []
        if t.root:
            for name, doc in (('kind', 'What type of object this is.'),
                              ('apiVersion', 'Group and version of the API that the object is written in.')):
                f = Field(t.at)
                f.name, f.type, f.doc = name, 'string', doc
                flat.append(f)
        if t.list_of:
            meta, items = Field(t.at), Field(t.at)
            meta.name, meta.type, meta.number = 'metadata', 'meta/v1.ListMeta', 1
            meta.doc = 'Version of the list and how to get the next page.'
            items.name, items.type, items.number = 'items', t.list_of, 2
            items.card, items.required, items.doc = 'LIST', True, 'The objects.'
            flat += [meta, items]
        for f in t.fields:
            if not f.inline:
                flat.append(f)
                continue
            inner = self.find(f.type, t.group, f.at)
            for g in self.flatten(inner, stack + [t]) if inner else []:
                copy = Field(f.at)
                copy.__dict__.update(g.__dict__)
                copy.at = f.at
                if '.' not in copy.type and copy.type not in SCALARS:
                    copy.type = inner.group.ref + '.' + copy.type
                if f.number > 255 or (f.number and copy.via > 255):
                    self.p.add(f.at, 'inlined messages nest twice on the wire, with numbers up to 255')
                copy.via = f.number | copy.via << 8 if f.number else copy.via
                flat.append(copy)
        t.flat = flat
        return flat

    def check_type(self, t):
        names, numbers = set(), set()
        for f in t.flat:
            if f.name in names:
                self.p.add(f.at, 'field "%s" is declared twice in %s' % (f.name, t.ref))
            if f.number and (f.via, f.number) in numbers:
                self.p.add(f.at, 'field number %d is used twice in %s' % (f.number, t.ref))
            names.add(f.name)
            numbers.add((f.via, f.number))
            if f.type not in SCALARS:
                f.target = self.find(f.type, t.group, f.at)
            if f.target and not f.target.opaque:
                keys = {g.name for g in f.target.flat}
                for k in f.keys + ([f.merge_key] if f.merge_key else []):
                    if k not in keys:
                        self.p.add(f.at, 'key "%s" is no field of %s' % (k, f.target.ref))
            elif f.keys or f.merge_key:
                self.p.add(f.at, 'keys need a list of a struct type')
            if f.topology == 'SET' and f.card != 'LIST':
                self.p.add(f.at, 'set is for lists')
            if f.gate:
                self.check_gate(f.gate, f.at)
                if 'OMITEMPTY' not in field_flags(f):
                    self.p.add(f.at, 'what has a gate must be one that can be left out')
            if f.card == 'ONE' and f.topology in ('ATOMIC', 'GRANULAR') and not f.target:
                self.p.add(f.at, 'a scalar has no topology')
        optional = {f.name for f in t.flat if f.pointer}
        seen = set()
        for name, at in t.union:
            if name not in optional or name in seen:
                self.p.add(at, 'union: "%s" is no pointer of %s, or stands there twice' % (name, t.ref))
            seen.add(name)

    def check_gate(self, name, at):
        if name not in self.gate_ids:
            self.p.add(at, 'unknown gate "%s"' % name)

    def copy_alike(self, group, types):
        """Types that `group` uses and leaves to the one it is like: the same, within this group."""
        known = {t.name for t in types if t.group is group}
        todo = [r.kind + x for r in self.parsed if r.group is group for x in ('', 'List')]
        todo += [n for t in types if t.group is group for n in [f.type for f in t.fields] + [t.list_of or '']]
        theirs = {t.name: t for t in types if t.group.ref == group.like}
        while todo:
            name = todo.pop()
            if name in known or name not in theirs:
                continue
            t, copy = theirs[name], Type(group, name, theirs[name].at, theirs[name].doc)
            copy.__dict__.update({k: v for k, v in t.__dict__.items() if k not in ('group', 'fields', 'flat')})
            for f in t.fields:
                g = Field(f.at)
                g.__dict__.update(f.__dict__)
                copy.fields.append(g)
            known.add(name)
            types.append(copy)
            todo += [f.type for f in t.fields] + [t.list_of or '']

    def mark_defaults(self):
        """Which types have a default in them at any depth: the others need no walk."""
        todo = [t for t in self.types if any(f.default is not None for f in t.flat)]
        users = {}
        for t in self.types:
            for f in t.flat:
                if f.target:
                    users.setdefault(f.target, []).append(t)
        while todo:
            t = todo.pop()
            if not t.defaults:
                t.defaults = True
                todo += users.get(t, [])

    def collect_symbols(self, extra):
        names = {}
        for t in self.types:
            for f in t.flat:
                names.setdefault(f.name, f.at)
        for name, at in extra:
            names.setdefault(name, at)
        mangled = {}
        for name in sorted(names, key=lambda n: n.encode()):
            ident = mangle(name)
            if ident in mangled:
                self.p.add(names[name], '"%s" and "%s" make the same symbol' % (name, mangled[ident]))
            mangled[ident] = name
        out = sorted(names, key=lambda n: n.encode())
        return {name: i + 1 for i, name in enumerate(out)}

    def resolve_resources(self):
        preferred = {}
        for g in self.groups:
            if g.priority is not None:
                preferred.setdefault(g.name, g.version)
        ids = []
        for r in self.resources:
            if r.gate:
                self.check_gate(r.gate, r.at)
            if r.group.priority is None:
                self.p.add(r.at, 'group %s has resources but no priority' % r.group.ref)
            r.type = self.find(r.kind, r.group, r.at)
            if 'list' in r.verbs:
                self.find(r.kind + 'List', r.group, r.at)
            for s in r.subs:
                s.group, s.kind = r.group, r.kind
                if s.kind_ref:
                    t = self.find(s.kind_ref, r.group, s.at)
                    if not t:
                        continue
                    s.group, s.kind, s.type = t.group, t.name, t
                else:
                    s.type = r.type
                if not s.body:
                    s.type = None
                if not s.verbs:
                    self.p.add(s.at, 'subresource %s has no verbs' % s.name)
            r.subs.sort(key=lambda s: s.name)
            ident = 'R_%s_%s' % ((r.group.name or 'core').split('.')[0], r.plural)
            if preferred.get(r.group.name) != r.group.version:
                ident += '_' + r.group.version
            if ident in ids:
                self.p.add(r.at, 'resource id %s is made twice' % ident)
            ids.append(ident)
        return ids


def mangle(name):
    return re.sub(r'[^A-Za-z0-9_]', '_', name)


def c_str(s):
    if s is None:
        return 'NULL'
    out = []
    for b in s.encode('utf-8'):
        if b in b'"\\?':
            out.append('\\' + chr(b))
        elif 32 <= b < 127:
            out.append(chr(b))
        else:
            out.append('\\%03o' % b)
    return '"' + ''.join(out) + '"'


def fnv1a(name):
    h = 14695981039346656037
    for b in name.encode():
        h = ((h ^ b) * 1099511628211) & 0xffffffffffffffff
    return h


HEAD = '/* Generated by tools/gen_schema.py from the api folder; edit the .api files instead. */\n'


def emit_symbols_h(m):
    out = [HEAD, '#pragma once\n\nenum sym {\n\tSYM_NONE = 0,\n']
    out += ['\tF_%s = %d,\n' % (mangle(n), i) for n, i in m.symbols.items()]
    out.append('\tSYM_MAX = %d\n};\n' % (len(m.symbols) + 1))
    return ''.join(out)


def emit_symbols_c(m):
    """Names back to back with NULs between, where each begins, and an open-addressing table of
    symbol numbers at FNV-1a (folded to 32 bits) modulo its size, linear probing."""
    names = list(m.symbols)
    offsets, at = [0], 1
    for n in names:
        offsets.append(at)
        at += len(n.encode()) + 1
    offsets.append(at)
    size = 1
    while size < 4 * len(names):
        size *= 2
    table = [0] * size
    for n, i in m.symbols.items():
        h = fnv1a(n)
        slot = (h ^ h >> 32) & (size - 1)
        while table[slot]:
            slot = (slot + 1) & (size - 1)
        table[slot] = i
    out = [HEAD, '#include "codec/symbol_tables.h"\n\n']
    out.append('const char symbol_text[] =\n\t"\\0"\n')
    out += ['\t%s "\\0"\n' % c_str(n) for n in names]
    out.append('\t;\n\n')
    out.append(c_array('const uint16_t symbol_offset[SYM_MAX + 1]', offsets))
    out.append('const uint32_t symbol_hash_mask = %d;\n' % (size - 1))
    out.append(c_array('const uint16_t symbol_hash[%d]' % size, table))
    return ''.join(out)


def c_array(decl, values):
    lines, line = [], '\t'
    for v in values:
        s = '%s,' % v
        if len(line) + len(s) > 110:
            lines.append(line)
            line = '\t'
        line += (' ' if line != '\t' else '') + s
    lines.append(line)
    return decl + ' = {\n' + '\n'.join(lines) + '\n};\n'


def emit_resources_h(m):
    out = [HEAD, '#pragma once\n\nenum resource_id {\n']
    out += ['\t%s = %d,\n' % (n, i) for i, n in enumerate(m.resource_ids)]
    out.append('\tR_COUNT = %d\n};\n' % len(m.resource_ids))
    out.append('\nstruct schema_union;\n')
    out += ['extern const struct schema_union %s;\n' % union_ident(t) for t in m.types if t.union]
    return ''.join(out)


def emit_gates_h(m):
    out = [HEAD, '#pragma once\n\nenum feature {\n\tFG_NONE = 0,\n']
    out += ['\tFG_%s = %d,\n' % (n, i) for n, i in m.gate_ids.items()]
    out.append('\tFG_COUNT = %d\n};\n' % (len(m.gate_ids) + 1))
    return ''.join(out)


def emit_gates(m):
    return ('const struct feature_gate feature_all[FG_COUNT] = {\n\t[FG_NONE] = { "", FEATURE_GA, true, true },\n' +
            ''.join('\t[FG_%s] = { "%s", FEATURE_%s, %s, %s },\n' % (
                g.name, g.name, g.stage.upper(), 'true' if g.on else 'false', 'true' if g.locked else 'false')
                for g in m.gates) + '};\n')


def union_ident(t):
    return 'U_%s_%s' % (mangle((t.group.name or 'core').split('.')[0]), t.name)


class Pool:
    """Constant arrays shared by everything that has equal content; 'NULL' for an empty one."""

    def __init__(self, prefix, decl, end):
        self.prefix, self.decl, self.end = prefix, decl, end
        self.names, self.text = {}, []

    def ref(self, items):
        if not items:
            return 'NULL'
        key = tuple(items)
        if key not in self.names:
            name = '%s_%d' % (self.prefix, len(self.names))
            self.names[key] = name
            self.text.append('static %s %s[] = { %s, %s };\n' % (self.decl, name, ', '.join(key), self.end))
        return self.names[key]


def field_doc(f):
    return ' '.join(filter(None, [f.doc, 'Dropped unless the feature %s is on.' % f.gate if f.gate else '']))


def field_flags(f):
    flags = set(f.flags)
    if f.required:
        flags.add('REQUIRED')
    if f.pointer:
        flags.add('POINTER')
    omits = f.omitempty or not (f.required or f.always)
    by_value = f.card == 'ONE' and not f.pointer and (f.type in BY_VALUE_STRUCTS or f.target is not None)
    if f.omitzero or (omits and not by_value):
        flags.add('OMITEMPTY')
    return ' | '.join('FF_' + x for x in sorted(flags)) or '0'


def emit_tables(m):
    strings = Pool('strs', 'const char *const', 'NULL')
    syms = Pool('keys', 'const enum sym', 'SYM_NONE')
    fields, by_sym, types = [], [], []
    firsts = {}
    for t in m.types:
        own = []
        for f in t.flat:
            topo, elem = f.topology or 'DEFAULT', 'DEFAULT'
            if f.card == 'ONE':
                topo, elem = 'DEFAULT', f.topology or 'DEFAULT'
            if f.target and f.target.atomic and elem == 'DEFAULT':
                elem = 'ATOMIC'
            kind = SCALARS.get(f.type) or ('RAW' if f.target.opaque else 'STRUCT')
            own.append('\tF(%s, %s, %s, %s, %s, %s, %s, %d, %d, %s, %s, %s, %s, %s, %s, %s, %s),\n' % (
                'F_' + mangle(f.name), '&types[%d]' % f.target.index if f.target else 'NULL',
                c_str(field_doc(f)) if field_doc(f) else 'NULL', c_str(f.default),
                syms.ref(['F_' + mangle(k) for k in f.keys]), strings.ref([c_str(e) for e in f.enum]),
                'F_' + mangle(f.merge_key) if f.merge_key else 'SYM_NONE', f.number, f.via, field_flags(f),
                kind, f.card, topo, elem, FORMATS.get(f.format, 'NONE'), f.inner_card,
                'FG_' + f.gate if f.gate else 'FG_NONE'))
        key = ''.join(own)
        if key not in firsts: # versions of a type that are alike share their fields
            firsts[key] = (len(fields), len(by_sym))
            fields += own
            by_sym += sorted(range(len(t.flat)), key=lambda i: m.symbols[t.flat[i].name])
        first, sym_at = firsts[key]
        n = len(t.flat)
        types.append('\t{ %s, %s, %s, %s, %d, %s, %s, %s, .by_sym = %s },\n' % (
            c_str(t.ref), c_str(t.openapi), c_str(t.doc) if t.doc else 'NULL',
            'fields + %d' % first if n else 'NULL', n, 'true' if t.root else 'false',
            'true' if t.atomic else 'false', 'true' if t.defaults else 'false',
            'by_sym + %d' % sym_at if n else 'NULL'))

    unions = ['const struct schema_union %s = { %s, %s };\n' % (
        union_ident(t), c_str(t.union_noun), syms.ref(['F_' + mangle(name) for name, _ in t.union]))
        for t in m.types if t.union]

    subs, columns, rows = [], [], []
    for r, ident in zip(m.resources, m.resource_ids):
        sub_at, col_at = len(subs), len(columns)
        for s in r.subs:
            subs.append('\t{ %s, %s, %s, %s, %s, %s },\n' % (
                c_str(s.name), c_str(s.kind), c_str(s.group.name), c_str(s.group.version),
                '&types[%d]' % s.type.index if s.type else 'NULL', verb_bits(s.verbs)))
        for c in r.columns:
            columns.append('\t{ %s, %s, %s, %s, %s, %d, NULL },\n' % (
                c_str(c.name), c_str(c.type), c_str(c.format), c_str(c.doc), c_str(c.path), c.priority))
        rows.append('\t[%s] = { %s },\n' % (ident, ', '.join([
            c_str(r.group.name), c_str(r.group.version), c_str(r.plural), c_str(r.singular), c_str(r.kind),
            c_str(r.kind + 'List' if 'list' in r.verbs else ''), '&types[%d]' % r.type.index,
            strings.ref([c_str(s) for s in r.short]) if r.short else 'no_strs',
            strings.ref([c_str(s) for s in r.categories]) if r.categories else 'no_strs',
            'subs + %d' % sub_at if r.subs else 'NULL', 'columns + %d' % col_at if r.columns else 'NULL',
            strings.ref([c_str(s) for s in r.selects]) if r.selects else 'no_strs', c_str(r.hash),
            c_str(r.stored or r.plural), str(len(r.subs)), str(len(r.columns)), verb_bits(r.verbs), ident,
            'true' if r.namespaced else 'false',
            'true' if any(s.name == 'status' for s in r.subs) else 'false', 'true' if r.group.optin else 'false',
            'FG_' + r.gate if r.gate else 'FG_NONE'])))

    served = [g for g in m.groups if g.priority is not None]
    out = [HEAD, '#include "object/feature.h"\n#include "object/schema.h"\n\n', emit_gates(m)]
    out.append('#define F(sym_, type_, doc_, default_, keys_, enum_, merge_, number_, via_, flags_, kind_, card_, topo_, '
               'elem_, format_, inner_, gate_) \\\n'
               '\t{ .sym = sym_, .type = type_, .doc = doc_, .json_default = default_, .list_keys = keys_, \\\n'
               '\t  .enum_values = enum_, .merge_key = merge_, .number = number_, .via = via_, \\\n'
               '\t  .flags = flags_, .kind = FIELD_##kind_, .card = CARD_##card_, .topology = TOPO_##topo_, \\\n'
               '\t  .elem_topology = TOPO_##elem_, .format = FMT_##format_, .inner_card = CARD_##inner_, .gate = gate_ }\n\n')
    out.append('static const struct schema types[%d];\n' % len(types))
    out.append('static const char *const no_strs[] = { NULL };\n')
    out += strings.text
    out += syms.text
    out.append('static const struct field fields[] = {\n' + ''.join(fields) + '};\n')
    out.append(c_array('static const uint16_t by_sym[]', by_sym))
    out.append('static const struct schema types[%d] = {\n%s};\n' % (len(types), ''.join(types)))
    out.append('const size_t schema_count = %d;\n' % len(types))
    out.append(c_array('const struct schema *const schema_all[]',
                       ['types + %d' % i for i in range(len(types))] + ['NULL']))
    out += unions
    if subs:
        out.append('static const struct subresource subs[] = {\n' + ''.join(subs) + '};\n')
    if columns:
        out.append('static const struct column columns[] = {\n' + ''.join(columns) + '};\n')
    out.append('const struct resource resource_all[] = {\n' + ''.join(rows) + '};\n')
    out.append('const size_t resource_count = %d;\n' % len(rows))
    out.append('const struct group_version group_version_all[] = {\n' + ''.join(
        '\t{ %s, %s, %d, %d },\n' % (c_str(g.name), c_str(g.version), g.priority, g.version_priority)
        for g in served) + '};\n')
    out.append('const size_t group_version_count = %d;\n' % len(served))
    return ''.join(out)


def verb_bits(verbs):
    return ' | '.join('1 << VERB_' + v.upper() for v in verbs) or '0'


def main():
    ap = argparse.ArgumentParser(description='compile api/*.api into constant tables')
    ap.add_argument('--out', required=True, help='folder of the generated files')
    ap.add_argument('files', nargs='+', help='.api files and symbols.extra')
    args = ap.parse_args()
    problems = Problems()
    parser = Parser(problems)
    for path in sorted(args.files, key=os.path.basename):
        if path.endswith('.extra'):
            parser.parse_extra(path)
        else:
            parser.parse_file(path)
    problems.stop_if_any()
    model = Model(parser)
    problems.stop_if_any()
    for name, emit in (('symbols.h', emit_symbols_h), ('symbols.c', emit_symbols_c),
                       ('resources.h', emit_resources_h),
                       ('gates.h', emit_gates_h), ('schema_tables.c', emit_tables)):
        with open(os.path.join(args.out, name), 'w', encoding='utf-8') as f:
            f.write(emit(model))


if __name__ == '__main__':
    main()
