#!/usr/bin/env python3
"""A second reader of artifacts and packs, written from docs/format.md alone, with nothing but Python's standard library.

reader.py FILE...: for each file a line with its name and a verdict, separated by a tab. The verdict begins with
    sound      everything is as the document says
    odd        what no writer does, but readers accept
    damaged    anything else
Ends with 1 unless all are sound.
"""

import hashlib
import struct
import sys

# ---- BLAKE3, derive-key mode, 256 bits ----

MASK = 0xFFFFFFFF
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT, CONTEXT, MATERIAL = 1, 2, 4, 8, 32, 64
CORNERS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))


def steps():
    """For all seven rounds: which four words of the state are mixed with which two of the message."""
    words = list(range(16))
    for _ in range(7):
        for number, corners in enumerate(CORNERS):
            yield (*corners, words[2 * number], words[2 * number + 1])
        words = [words[at] for at in PERMUTATION]


STEPS = tuple(steps())


def compress(chaining, block, counter, length, flags):
    """The new chaining value."""
    message = struct.unpack("<16I", block)
    v = [*chaining, *IV[:4], counter & MASK, counter >> 32, length, flags]
    for a, b, c, d, x, y in STEPS:
        va = v[a] + v[b] + message[x] & MASK
        vd = v[d] ^ va
        vd = vd >> 16 | vd << 16 & MASK
        vc = v[c] + vd & MASK
        vb = v[b] ^ vc
        vb = vb >> 12 | vb << 20 & MASK
        va = va + vb + message[y] & MASK
        vd ^= va
        vd = vd >> 8 | vd << 24 & MASK
        vc = vc + vd & MASK
        vb ^= vc
        v[a], v[b], v[c], v[d] = va, vb >> 7 | vb << 25 & MASK, vc, vd
    return tuple(v[at] ^ v[at + 8] for at in range(8))


def subtree(key, data, counter, flags, root):
    """The chaining value of some of the input: of a chunk of up to 1024 bytes, or of a parent of two subtrees."""
    if len(data) > 1024:
        left = 1024
        while left * 2 < len(data):
            left *= 2
        below = subtree(key, data[:left], counter, flags, 0)
        below += subtree(key, data[left:], counter + left // 1024, flags, 0)
        return compress(key, struct.pack("<16I", *below), 0, 64, flags | PARENT | root)
    value = key
    last = max(0, (len(data) - 1) // 64)
    for number in range(last + 1):
        block = bytes(data[64 * number:64 * number + 64])
        here = flags | (CHUNK_START if number == 0 else 0) | (CHUNK_END | root if number == last else 0)
        value = compress(value, block.ljust(64, b"\0"), counter, len(block), here)
    return value


def derive(context, data):
    key = subtree(IV, context.encode(), 0, CONTEXT, ROOT)
    return struct.pack("<8I", *subtree(key, data, 0, MATERIAL, ROOT))


def digest(what, data, of="trailer"):
    return derive(f"libartifact 2026-11 {of} 1: {what}", data)


# ---- Reading ----


class Damage(Exception):
    """What is wrong, and where."""


def damaged(at, what):
    raise Damage(f"at {at}: {what}")


class Reader:
    """Takes values from bytes, in order."""

    def __init__(self, data, at):
        self.data, self.at = data, at

    def take(self, size):
        part = self.data[self.at:self.at + size]
        if len(part) < size:
            damaged(self.at, f"expected {size} bytes, found {len(part)}")
        self.at += size
        return part

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def u8(self):
        return self.number(1)

    def u16(self):
        return self.number(2)

    def u32(self):
        return self.number(4)

    def u64(self):
        return self.number(8)

    def choice(self, size, names):
        """A number below `names`."""
        at, found = self.at, self.number(size)
        if found >= names:
            damaged(at, f"expected a number below {names}, found {found}")
        return found

    def bool(self):
        return self.choice(1, 2)

    def text(self, size=None):
        at = self.at
        found = self.take(self.u64() if size is None else size)
        try:
            return bytes(found).decode("utf-8")
        except UnicodeDecodeError:
            return damaged(at, "expected UTF-8")

    def zeros(self, size, what):
        at = self.at
        if any(self.take(size)):
            damaged(at, f"{what}: expected zeros")


def align_up(at, align):
    return -(-at // align) * align


# ---- Modules ----

LARGEST_ALIGN = 2 << 20


class Module:
    """Where an ELF image ends, and its alignment."""

    def __init__(self, data, at):
        image = data[at:]
        if len(image) < 64:
            damaged(at, "expected an ELF header, found the end")
        if image[:5] != b"\x7fELF\x02" or image[5] not in (1, 2):
            damaged(at, "expected an ELF64 image of either byte order")
        order = "<" if image[5] == 1 else ">"

        def field(kind, where):
            size = struct.calcsize(kind)
            if where + size > len(image):
                damaged(at + where, "expected a field of an ELF image, found the end")
            return struct.unpack_from(order + kind, image, where)[0]

        self.identity = field("H", 18), image[4], image[5]
        table, segments = field("Q", 40), field("Q", 32)
        segment_size, segment_count = field("H", 54), field("H", 56)
        entry, count = field("H", 58), field("H", 60)
        if entry != 64 or table < 64:
            damaged(at, f"expected section headers of 64 bytes behind the ELF header, found {entry} at {table}")
        count = count or field("Q", table + 32)
        if not 2 <= count <= 1048576:
            damaged(at, f"expected at least two sections, found {count}")
        self.offset, self.len = at, table + 64 * count
        if self.len > len(image):
            damaged(at, f"expected {self.len} bytes of ELF, found {len(image)}")
        aligns = [field("Q", table + 64 * number + 48) for number in range(count)]
        for number in range(segment_count):
            segment = segments + segment_size * number
            if field("I", segment) == 1:  # PT_LOAD
                aligns.append(min(field("Q", segment + 48), 65536))
        self.align = max(1, *aligns)
        if any(align & align - 1 for align in aligns if align) or self.align > LARGEST_ALIGN:
            damaged(at, f"expected powers of two up to 2 MiB as alignments, found {self.align}")
        self.end = at + self.len


def walk(data, odd):
    """The modules, and where the terminator stands."""
    modules, at = [], 0
    while True:
        module = Module(data, at)
        if modules and at != align_up(modules[-1].end + 8, module.align):
            odd.append(f"at {modules[-1].end}: link skips bytes, or leads to where the module isn't aligned")
        modules.append(module)
        if len(modules) > 1048576:
            damaged(at, "expected at most 1048576 modules")
        reader = Reader(data, module.end)
        at = reader.u64()
        if at == 0xFFFFFFFFFFFFFFFF:
            return modules, module.end
        if not reader.at <= at < len(data):
            damaged(module.end, f"expected a link behind itself and inside the file, found {at}")
        if any(data[reader.at:at]):
            odd.append(f"at {reader.at}: gap that isn't zero")


# ---- HEADER, version, Metadata ----

PRODUCER = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._-")


def header(reader):
    at = reader.at
    window = bytes(reader.data[at:at + 37])
    end = window.find(b"-aot")
    name = window[1:max(end, 1)]
    if end < 0 or window[:1] != b"\0" or not 1 <= len(name) <= 32 or not PRODUCER.issuperset(name):
        damaged(at, "expected HEADER")
    reader.take(end + 4)
    return name.decode(), bytes(reader.take(reader.u8()))


class Metadata:
    """The settings. What is looked at later is kept, the rest only has to be well-formed."""

    def __init__(self, reader, modules, odd):
        self.reader, self.modules, self.odd = reader, modules, odd
        self.functions = self.instances = self.module_types = 0
        self.indexes = []  # (where, which table, index)
        self.target = reader.text()
        self.flags("shared_flags")
        self.isa_flags = self.flags("isa_flags")
        for _ in range(4):
            reader.u64()
        for _ in range(7 + 11):
            reader.bool()
        self.upvars(1)
        self.types()

    def list(self, item):
        count = self.reader.u64()
        if count > len(self.reader.data):  # each item takes a byte at least
            damaged(self.reader.at - 8, f"expected {count} items, found the end")
        return [item() for _ in range(count)]

    def option(self, item):
        return item() if self.reader.choice(1, 2) else None

    def flags(self, what):
        """Every flag's value by its name. Of flags with the same name the last one counts."""
        flags = self.list(lambda: (self.reader.text(), self.flag()))
        if any(a.encode() >= b.encode() for (a, _), (b, _) in zip(flags, flags[1:])):
            self.odd.append(f"{what}: names out of order, or twice")
        return dict(flags)

    def flag(self):
        """A str, an int, or for a bool True or None."""
        reader = self.reader
        kind = reader.choice(4, 3)
        return (reader.bool() == 1 or None) if kind == 2 else (reader.text, reader.u8)[kind]()

    def upvars(self, depth):
        def upvar():
            if depth > 100:
                damaged(self.reader.at, "expected upvars at most 100 deep")
            module()
            self.list(module)
            self.upvars(depth + 1)

        def module():
            at, found = self.reader.at, self.reader.u64()
            if found >= self.modules:
                damaged(at, f"expected the index of a module, below {self.modules}, found {found}")

        self.list(upvar)

    def wasm(self):
        return self.reader.choice(4, 8)

    def index(self, table):
        self.indexes.append((self.reader.at, table, self.reader.u32()))

    def entity(self):
        reader = self.reader
        kind = reader.choice(4, 7)
        if kind == 0:
            self.wasm()
            reader.bool()
            reader.take((4, 8, 4, 8, 16, 4, 0, 4, 0)[reader.choice(4, 9)])
        elif kind == 1:
            reader.u64()
            self.option(reader.u64)
            reader.bool()
            reader.bool()
        elif kind == 2:
            self.index("functions")
        elif kind == 3:
            self.wasm()
            reader.u32()
            self.option(reader.u32)
        else:
            self.index(("functions", "instances", "module_types")[kind - 4])

    def entities(self):
        names = self.list(lambda: (self.reader.text(), self.entity())[0])
        if len(set(names)) < len(names):
            self.odd.append("types: a name that stands there twice")

    def function(self):
        self.list(self.wasm)
        self.reader.u64()
        self.list(self.wasm)
        self.reader.u64()

    def module_type(self):
        self.entities()
        self.index("instances")

    def types(self):
        self.functions = len(self.list(self.function))
        self.module_types = len(self.list(self.module_type))
        self.instances = len(self.list(self.entities))
        for at, table, found in self.indexes:
            if found >= getattr(self, table):
                damaged(at, f"expected an index of {table}, below {getattr(self, table)}, found {found}")


# ---- Trailer ----

START = b"\x93AFT\r\n\x1a\n"
END = b"\x93AFE\r\n\x1a\n"


def check(found, expected, at, what):
    if found != expected:
        damaged(at, f"{what}: expected {expected}, found {found}")


def check_digest(found, what, data, at, of="trailer"):
    if bytes(found) != digest(what, data, of):
        damaged(at, f"digest of the {what} doesn't match")


# ---- Ed25519, verification only (RFC 8032, 5.1.7) ----

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def x_of(y, sign):
    """The x of a point of the curve with this y and the lowest bit of x; nothing if there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def decoded(data):
    number = int.from_bytes(data, "little")
    y = number & (1 << 255) - 1
    x = x_of(y, number >> 255) if y < P else None
    return None if x is None else (x, y, 1, x * y % P)


def add(a, b):
    """The sum of two points in extended coordinates."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    return (f - e) * (h - g) % P, (h + g) * (f + e) % P, (h - g) * (h + g) % P, (f - e) * (f + e) % P


def times(number, point):
    result = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = add(result, point)
        point = add(point, point)
        number >>= 1
    return result


def same(a, b):
    return a[0] * b[2] % P == b[0] * a[2] % P and a[1] * b[2] % P == b[1] * a[2] % P


def signed(key, signature, message):
    key_point, r, s = decoded(key), decoded(signature[:32]), int.from_bytes(signature[32:], "little")
    neutral = (0, 1, 1, 0)
    if s >= ORDER or any(point is None or same(times(8, point), neutral) for point in (key_point, r)):
        return False
    base_y = 4 * pow(5, P - 2, P) % P
    base = (x_of(base_y, 0), base_y, 1, x_of(base_y, 0) * base_y % P)
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    return same(times(s, base), add(r, times(k, key_point)))


def chunks(data, start, end):
    """Names of attributes, and how many chunks are critical."""
    reader, names, critical = Reader(data[:end], start), [], 0
    while reader.at < end:
        at = reader.at
        kind, flags, size = reader.u32(), reader.u32(), reader.u64()
        check(flags & ~1, 0, at + 4, "flags of a chunk")
        critical += flags & 1
        content = Reader(data[:reader.at + size], reader.at)
        reader.take(size)
        reader.zeros(-size % 8, "padding of a chunk")
        if kind == 1:
            name = content.text(content.u32())
            if names and names[-1].encode() >= name.encode():
                damaged(at, "attributes out of order, or twice")
            names.append(name)
        elif flags & 1:
            damaged(at, f"critical chunk of kind {kind}, which isn't known")
    return names, critical


def footer(data, record_size, of):
    """Where the root record is, and the number of signatures."""
    reader = Reader(data, len(data) - 64)
    root_at, file_len, signatures = reader.u64(), reader.u64(), reader.u32()
    check(file_len, len(data), len(data) - 56, "length of the file")
    check(root_at, len(data) - 64 - 96 * signatures - record_size, len(data) - 64, "place of the root record")
    if root_at < 0 or signatures > 64:
        damaged(len(data) - 64, f"expected at most 64 signatures, found {signatures}")
    reader.zeros(4, "footer")
    blank = bytes(data[root_at:-40]) + bytes(32) + bytes(data[-8:])
    check_digest(reader.take(32), "footer", blank, len(data) - 40, of)
    return root_at, signatures


def signers(data, root_at, record_size, count, context, odd):
    """The keys that have signed the root record."""
    found, message = [], context + bytes(data[root_at:root_at + record_size])
    for number in range(count):
        at = root_at + record_size + 96 * number
        key, signature = bytes(data[at:at + 32]), bytes(data[at + 32:at + 96])
        if signed(key, signature, message):
            found.append(key.hex())
        else:
            odd.append(f"at {at}: a signature that isn't its key's")
    return found


def trailer(data, modules, tail, header_at, metadata_at, body_end, odd):
    """Checks it against the body, and every byte of the file against it."""
    root_at, signatures = footer(data, 256, "trailer")
    root = Reader(data, root_at)
    check(root.u32(), 1, root_at, "format")
    critical = root.u32()
    check(root.u64(), body_end, root_at + 8, "body's end")
    check(root.u64(), header_at, root_at + 16, "place of HEADER")
    check(root.u64(), metadata_at, root_at + 24, "place of Metadata")
    check(root.u64(), len(modules), root_at + 32, "number of modules")
    chunks_len = root.u64()
    check_digest(root.take(32), "tail", data[tail:body_end], tail)

    start = Reader(data, body_end)
    start.zeros(-body_end % 8, "padding before the trailer")
    check(bytes(start.take(8)), START, start.at - 8, "start of the trailer")
    chunks_at = start.at + 56 * len(modules)
    check(chunks_at + chunks_len, root_at, root_at + 40, "end of the chunks")
    check_digest(root.take(32), "module table", data[start.at:chunks_at], start.at)
    check_digest(root.take(32), "chunks", data[chunks_at:root_at], chunks_at)
    identity = root.u16(), root.u8(), root.u8()
    if identity != (0, 0, 0):
        if identity[1] not in (1, 2) or identity[2] not in (1, 2):
            damaged(root_at + 144, f"expected the class and byte order of ELF modules, found {identity}")
        for module in modules:
            check(identity, module.identity, root_at + 144, "identity of the modules")
    root.zeros(108, "root record")

    before = 0
    for number, module in enumerate(modules):
        at = start.at
        check(start.u64(), module.offset, at, f"place of module {number}")
        check(start.u64(), module.len, at + 8, f"length of module {number}")
        check(start.u64(), module.align, at + 16, f"alignment of module {number}")
        check_digest(start.take(32), "module", data[before:module.end], before)
        before = module.end
    names, found = chunks(data, chunks_at, root_at)
    check(critical, found, root_at + 4, "number of critical chunks")
    if len(names) > 65536:
        damaged(root_at, f"expected at most 65536 attributes, found {len(names)}")
    return names, signers(data, root_at, 256, signatures, b"libartifact signature 1\0", odd)


# ---- Packs ----

PACK_START = b"\x93AFP\r\n\x1a\n"
PACK_END = b"\x93AFQ\r\n\x1a\n"


def pack(data, odd):
    """Checks a pack and every artifact in it."""
    root_at, signatures = footer(data, 128, "pack")
    check(bytes(data[:8]), PACK_START, 0, "start of the pack")
    root = Reader(data, root_at)
    check(root.u32(), 1, root_at, "format")
    root.zeros(4, "root record")
    align, count, table = root.u64(), root.u64(), root.u64()
    directory_digest = root.take(32)
    root.zeros(64, "root record")
    if align not in [1 << power for power in range(3, 22)]:
        damaged(root_at + 8, f"expected a power of two from 8 to 2 MiB as alignment, found {align}")
    directory_at = table + 88 * count
    if count > 16777216 or table < 8 or table % 8 or directory_at + 72 * -(-count // 64) != root_at:
        damaged(root_at + 16, f"expected {count} rows and their directory before the root record")
    check_digest(directory_digest, "directory", data[directory_at:root_at], directory_at, "pack")
    directory, rows = Reader(data, directory_at), Reader(data, table)
    last, end = b"", 8
    for number in range(count):
        at = rows.at
        if number % 64 == 0:
            check(bytes(directory.take(40)), bytes(data[at:at + 40]), at, "first row of a block")
            check_digest(directory.take(32), "rows", data[at:min(at + 64 * 88, directory_at)], at, "pack")
        name, offset, size, root_digest = bytes(rows.take(40)), rows.u64(), rows.u64(), rows.take(32)
        if last >= name:
            damaged(at, "rows out of order, or twice")
        if offset < end or offset % align or size == 0 or offset + size > table:
            damaged(at, f"expected an artifact from {end} to {table}, at a multiple of {align}, found it at {offset}")
        Reader(data, end).zeros(offset - end, "bytes between artifacts")
        artifact = data[offset:offset + size]
        if artifact[-8:] != END:
            damaged(offset, "expected an artifact with a trailer")
        read_artifact(artifact, odd)
        record = int.from_bytes(artifact[-64:-56], "little")
        check_digest(root_digest, "artifact", artifact[record:record + 256], offset, "pack")
        last, end = name, offset + size
    Reader(data, end).zeros(table - end, "bytes before the table")
    return f"pack of {count}, signed by {signers(data, root_at, 128, signatures, b'libartifact pack signature 1' + bytes(1), odd)!r}"


def read_artifact(data, odd):
    """Returns a description, producer and version, and the settings."""
    modules, tail = walk(data, odd)
    reader = Reader(data, tail + 8)
    header_at = reader.at
    producer, version = header(reader)
    metadata_at = reader.at
    metadata = Metadata(reader, len(modules), odd)
    body_end = reader.at
    what = f"{len(modules)} modules, producer {producer}, version {version.decode(errors='replace')!r}"
    if data[-8:] == END:
        names, keys = trailer(data, modules, tail, header_at, metadata_at, body_end, odd)
        what += f", trailer, attributes {names!r}, signed by {keys!r}"
    elif data[align_up(body_end, 8):][:8] == START:
        damaged(body_end, "a trailer begins, but there is no footer")
    elif body_end < len(data):
        odd.append(f"at {body_end}: bytes behind the body")
    return what, (producer, version), metadata


# ---- Files of several targets ----

INDEX_START, INDEX_END = b"\x93AFI\r\n\x1a\n", b"\x93AFV\r\n\x1a\n"


def needs(metadata):
    """The texts of a row for an artifact with these settings."""
    flags = sorted(((name, value) for name, value in metadata.isa_flags.items() if value is not None),
                   key=lambda flag: flag[0].encode())
    return [metadata.target] + [name if value is True else f"{name}={value}" for name, value in flags]


def read_several(data, odd):
    footer = Reader(data, max(0, len(data) - 96))
    index_at, file_len, signatures = footer.u64(), footer.u64(), footer.u32()
    footer.zeros(4, "index footer")
    check(file_len, len(data), len(data) - 88, "length of the file")
    signatures_at = len(data) - 96 - 96 * signatures
    if signatures > 64 or not 0 < index_at <= signatures_at:
        damaged(len(data) - 96, f"expected at most 64 signatures behind the index, found {signatures}")
    signature_bytes, index = bytes(data[signatures_at:-96]), bytes(data[index_at:signatures_at])
    context = "libartifact 2026-11 index 1: "
    expected = derive(context + "signatures", signature_bytes) if signatures else bytes(32)
    check(bytes(footer.take(32)), expected, signatures_at, "digest of the signatures")
    index_digest = derive(context + "index", index)
    check(bytes(footer.take(32)), index_digest, index_at, "digest of the index")

    reader = Reader(data[:signatures_at], index_at)
    check(bytes(reader.take(8)), INDEX_START, index_at, "start of the index")
    check(reader.u32(), 1, index_at + 8, "format of the index")
    count, texts_len = reader.u32(), reader.u32()
    reader.zeros(4, "index header")
    texts_at = reader.at + 64 * count
    check(texts_at + texts_len, signatures_at, index_at, "end of the texts")
    if not 2 <= count <= 256 or texts_len > 1 << 20 or texts_len % 8:
        damaged(index_at, f"expected 2 to 256 variants and up to 1 MiB of texts, found {count} and {texts_len}")
    texts, end, align = Reader(data[:signatures_at], texts_at), index_at, 8
    whats, seen, numbers, target = [], [], set(), ""
    for number in range(count):
        at = reader.at
        offset, size, checksum, added = reader.u64(), reader.u64(), bytes(reader.take(32)), reader.u32()
        score, own_len = reader.u32(), reader.u32()
        reader.zeros(4, f"row {number}")
        if offset % 65536 or align_up(offset + size, align) != end or added >= count or added in numbers:
            damaged(at, f"expected variant {number} to end before {end}, found {size} bytes at {offset}, added {added}")
        Reader(data, offset + size).zeros(end - offset - size, f"padding behind variant {number}")
        numbers.add(added)
        own = texts.text(own_len)
        variant = data[offset:offset + size]
        if variant[-8:] != END or bytes(variant[-40:-8]) != checksum:
            damaged(offset, f"expected variant {number} with the checksum of its row, found another")
        what, origin, metadata = read_artifact(variant, odd)
        own = target + own if own.startswith("\0") else own  # the target of the row before
        target = own.split("\0")[0]
        check(own, "".join(text + "\0" for text in needs(metadata)), at, f"target and needs of variant {number}")
        seen.append((origin, own))
        score -= (score & 1 << 31) << 1
        whats.append(f"variant {number} at {offset}, added {added}, score {score}, for {own.split(chr(0))[:-1]!r}: {what}")
        end, align = offset, 65536
    check(end, 0, index_at, "place of the last row's variant")
    texts.zeros(signatures_at - texts.at, "padding behind the texts")
    if any(own.count("\0") > 1025 for _, own in seen):
        damaged(index_at, "expected at most 1024 needs of a variant, found more")
    if texts.at - texts_at > texts_len or len(set(seen)) < count or len({origin for origin, _ in seen}) > 1:
        damaged(index_at, "expected variants of one producer and version that need different things, found others")
    keys, message = [], b"libartifact fat index 1\0" + index_digest
    for at in range(0, len(signature_bytes), 96):
        key, signature = signature_bytes[at:at + 32], signature_bytes[at + 32:at + 96]
        if signed(key, signature, message):
            keys.append(key.hex())
        else:
            odd.append(f"at {signatures_at + at}: a signature that isn't its key's")
    return f"{count} variants, index signed by {keys!r}; {'; '.join(whats)}"


def read(data):
    odd = []
    if data[-8:] == PACK_END:
        what = pack(data, odd)
    elif data[-8:] == INDEX_END:
        what = read_several(data, odd)
    else:
        what, *_ = read_artifact(data, odd)
    return f"odd: {'; '.join(odd)}" if odd else f"sound: {what}"


def main():
    sys.setrecursionlimit(5000)
    worst = 0
    for path in sys.argv[1:]:
        try:
            with open(path, "rb") as file:
                verdict = read(memoryview(file.read()))
        except Damage as damage:
            verdict = f"damaged: {damage}"
        worst |= not verdict.startswith("sound")
        print(path, ascii(verdict)[1:-1], sep="\t")
    return worst


if __name__ == "__main__":
    sys.exit(main())
