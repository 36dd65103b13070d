use super::*;

const ADDRESS: u64 = 0x1000;
/// The code of all tables here: 64 bytes, which end 64 bytes before the table.
const CODE: Range<u64> = 0xf80..0xfc0;

fn scope(format: Format) -> Scope {
    Scope { code: CODE, image: 0x800..0x2000, format }
}

/// A table under construction.
#[derive(Clone, Default)]
struct Maker {
    bytes: Vec<u8>,
}

impl Maker {
    /// Appends a CIE, with what follows its version, and returns its offset.
    fn cie(&mut self, version: u8, body: &[u8]) -> usize {
        let at = self.bytes.len();
        let len = (5 + body.len()).next_multiple_of(4);
        self.bytes.extend((len as u32).to_le_bytes());
        self.bytes.extend([0, 0, 0, 0, version]);
        self.bytes.extend(body);
        self.bytes.resize(at + 4 + len, 0);
        at
    }

    /// A CIE as most compilers write it.
    fn usual_cie(&mut self) -> usize {
        self.cie(1, b"zR\0\x01\x78\x10\x01\x1b")
    }

    /// Appends an FDE with 4-byte fields for code at an address, and returns its offset.
    fn fde(&mut self, cie: usize, begin: u64, len: u32, data: &[u8]) -> usize {
        let at = self.bytes.len();
        let relative = begin.wrapping_sub(ADDRESS + at as u64 + 8) as u32;
        self.raw_fde(cie, &[relative.to_le_bytes(), len.to_le_bytes()].concat(), data)
    }

    fn raw_fde(&mut self, cie: usize, fields: &[u8], data: &[u8]) -> usize {
        let at = self.bytes.len();
        let len = (5 + fields.len() + data.len()).next_multiple_of(4);
        self.bytes.extend((len as u32).to_le_bytes());
        self.bytes.extend(((at + 4 - cie) as u32).to_le_bytes());
        self.bytes.extend(fields);
        self.bytes.push(data.len() as u8);
        self.bytes.extend(data);
        self.bytes.resize(at + 4 + len, 0);
        at
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.extend([0; 4]);
        self.bytes
    }
}

/// A CIE "zR" and an FDE for 16 bytes of code, with a terminator.
fn table() -> Vec<u8> {
    let mut made = Maker::default();
    let cie = made.usual_cie();
    made.fde(cie, 0xfa0, 16, &[]);
    made.end()
}

fn run_until(bytes: &[u8], end: TableEnd) -> Result<Checked> {
    check(&Table { bytes, address: ADDRESS, end }, &scope(Format::X86_64), |_| ())
}

fn run(bytes: &[u8]) -> Result<Checked> {
    run_until(bytes, TableEnd::At(bytes.len()))
}

#[test]
fn a_table_ends_at_its_terminator_or_where_the_section_does() {
    let bytes = table();
    let whole = Checked { len: 40, terminated: true, functions: 1, empty: 0 };
    assert_eq!(run(&bytes).unwrap(), whole);
    assert_eq!(run(&bytes[..40]).unwrap(), Checked { terminated: false, ..whole });
    assert_eq!(run(&[]).unwrap(), Checked { len: 0, terminated: false, functions: 0, empty: 0 });
    for cut in 1..40 {
        assert!(cut == 20 || run(&bytes[..cut]).is_err(), "{cut}");
    }
    // The terminator may follow the section.
    assert_eq!(run_until(&bytes, TableEnd::At(40)).unwrap(), whole);
}

/// As in images without `crtend.o`: `.gcc_except_table` or `.eh_frame_hdr` follows.
#[test]
fn a_table_without_a_terminator_ends_where_something_says() {
    let mut bytes = table();
    bytes.truncate(40);
    bytes.extend([0xff, 0x9b, 0x19, 0x01, 0x02, 0x03, 0x04, 0x05]);
    let found = Checked { len: 40, terminated: false, functions: 1, empty: 0 };
    assert_eq!(run_until(&bytes, TableEnd::At(40)).unwrap(), found);
    assert_eq!(run_until(&bytes, TableEnd::After(20)).unwrap(), found);
    assert_eq!(run_until(&bytes, TableEnd::Unknown).unwrap_err().status(), Status::Unsupported);
    assert_eq!(run_until(&bytes, TableEnd::After(40)).unwrap_err().status(), Status::Corrupt);
    assert_eq!(run_until(&bytes, TableEnd::At(48)).unwrap_err().status(), Status::Corrupt);
    // Damage in a record that is listed.
    bytes[20] = 0xf0;
    assert_eq!(run_until(&bytes, TableEnd::After(20)).unwrap_err().status(), Status::Corrupt);
}

#[test]
fn functions_lie_in_their_modules_code() {
    let bytes = table();
    for code in [0xfa1..0xfd0, 0xfa0..0xfaf, 0..0xfa0, 0x1000..0x2000, 0..0] {
        let scope = Scope { code: code.clone(), ..scope(Format::X86_64) };
        let table = Table { bytes: &bytes, address: ADDRESS, end: TableEnd::Unknown };
        assert!(check(&table, &scope, |_| ()).is_err(), "{code:?}");
    }
}

#[test]
fn every_changed_byte_is_refused_or_harmless() {
    let bytes = table();
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            let _ = run(&changed);
        }
    }
    for (at, value) in
        [(8, 2), (9, b'e'), (10, b'?'), (12, 0x80), (14, 17), (15, 2), (16, 0x00), (16, 0x9b), (24, 0x10), (36, 9)]
    {
        let mut changed = bytes.clone();
        changed[at] = value;
        assert!(run(&changed).is_err(), "{at}");
    }
}

#[test]
fn augmentations_are_those_that_compilers_write() {
    let accepts = |text: &[u8], format| cie::accepts(text, format);
    for text in ["zR", "zPR", "zLR", "zPLR", "zRS", "zPLRS"] {
        assert!(accepts(text.as_bytes(), Format::X86_64), "{text}");
        assert!(accepts(text.as_bytes(), Format::Aarch64), "{text}");
    }
    for text in ["zRB", "zPLRBS", "zPLRSB"] {
        assert!(!accepts(text.as_bytes(), Format::X86_64), "{text}");
        assert!(accepts(text.as_bytes(), Format::Aarch64), "{text}");
    }
    let others = [
        "", "z", "R", "eh", "zP", "zL", "zSR", "zBR", "zGR", "zRG", "zRR", "zPPR", "zLLR", "zLPR", "zRP", "zRL",
        "zRSS", "zRBB", "zRSBS", "zRx", "zRzR", "zzR", "zR ",
    ];
    for text in others {
        assert!(!accepts(text.as_bytes(), Format::X86_64), "{text}");
        assert!(!accepts(text.as_bytes(), Format::Aarch64), "{text}");
    }
}

#[test]
fn encodings_that_unwinders_abort_on_are_refused() {
    let accepts = |body: &[u8]| {
        let mut made = Maker::default();
        let cie = made.cie(1, body);
        made.fde(cie, 0xfa0, 16, if body.starts_with(b"zL") || body.starts_with(b"zPL") { &[0; 4] } else { &[] });
        run(&made.end()).map(|checked| checked.functions)
    };
    assert_eq!(accepts(b"zR\0\x01\x78\x10\x01\x1b").unwrap(), 1);
    assert_eq!(accepts(b"zLR\0\x01\x78\x10\x02\x1b\x1b").unwrap(), 1);
    // The personality routine is in the code, or a word of the image has its address.
    let personality = |encoding: u8, target: u64| {
        let relative = target.wrapping_sub(ADDRESS + 18) as u32;
        let mut body = b"zPR\0\x01\x78\x10\x06".to_vec();
        body.push(encoding);
        body.extend(relative.to_le_bytes());
        body.push(0x1b);
        accepts(&body)
    };
    assert_eq!(personality(0x1b, 0xfa0).unwrap(), 1);
    assert_eq!(personality(0x9b, 0x1ff8).unwrap(), 1);
    for (encoding, target) in
        [(0x1b, 0xfc0), (0x9b, 0x1ff9), (0x9b, 0x7f8), (0x9b, 0x5000), (0xff, 0xfa0), (0x3b, 0xfa0), (0x50, 0xfa0)]
    {
        assert!(personality(encoding, target).is_err(), "{encoding:#x} {target:#x}");
    }
    for encoding in (0..=0xffu8).filter(|encoding| ![0x10, 0x14, 0x1b, 0x1c].contains(encoding)) {
        assert!(accepts(&[b"zR\0\x01\x78\x10\x01", &[encoding][..]].concat()).is_err(), "{encoding:#x}");
    }
    // LLVM's libunwind aborts on numbers of more than 64 bits, and has the return address register in a byte.
    assert!(accepts(b"zR\0\x81\x80\x80\x80\x80\x80\x80\x80\x80\x02\x78\x10\x01\x1b").is_err());
    assert!(accepts(b"zR\0\x01\x78\x11\x01\x1b").is_err());
    assert!(accepts(b"zR\0\xff\xff\xff\xff\x7f\x78\x10\x01\x1b").is_err());
    // Readers disagree on where the instructions begin.
    assert!(accepts(b"zR\0\x01\x78\x10\x02\x1b\x0c").is_err());
}

#[test]
fn language_specific_data_lies_in_the_module() {
    let accepts = |target: Option<u64>| {
        let mut made = Maker::default();
        let cie = made.cie(1, b"zLR\0\x01\x78\x10\x02\x1b\x1b");
        let field = ADDRESS + made.bytes.len() as u64 + 17;
        let relative = target.map_or(0, |target| target.wrapping_sub(field) as u32);
        made.fde(cie, 0xfa0, 16, &relative.to_le_bytes());
        run(&made.end()).map(|checked| checked.functions)
    };
    for target in [None, Some(0x800), Some(0x1fff)] {
        assert_eq!(accepts(target).unwrap(), 1);
    }
    for target in [0x7ff, 0x2000, 0x7000_0000] {
        assert!(accepts(Some(target)).is_err(), "{target:#x}");
    }
    // An unwinder reads a pointer that isn't there, or leaves one out.
    for (body, data) in [
        (&b"zLR\0\x01\x78\x10\x02\x1b\x1b"[..], 0),
        (b"zLR\0\x01\x78\x10\x02\x1b\x1b", 8),
        (b"zR\0\x01\x78\x10\x01\x1b", 4),
    ] {
        let mut made = Maker::default();
        let cie = made.cie(1, body);
        made.fde(cie, 0xfa0, 16, &vec![0; data]);
        assert!(run(&made.end()).is_err(), "{data}");
    }
}

#[test]
fn a_copy_points_at_the_same_code() {
    let mut bytes = table();
    let scope = scope(Format::X86_64);
    let moved = |bytes: &[u8]| check(&Table { bytes, address: 0x8000, end: TableEnd::Unknown }, &scope, |_| ());
    adapt(&mut bytes, ADDRESS, &scope, 0x7000).unwrap();
    assert!(moved(&bytes).is_ok());
    assert!(run(&bytes).is_err());
    assert!(adapt(&mut bytes, 0x8000, &scope, 1 << 40).is_err());
}

/// FDEs of no length, and with the address that a linker gives to code that it has left out.
#[test]
fn a_copy_has_no_empty_fdes() {
    for wide in [false, true] {
        let mut made = Maker::default();
        let cie = made.cie(1, if wide { b"zR\0\x01\x78\x10\x01\x1c" } else { b"zR\0\x01\x78\x10\x01\x1b" });
        let size = if wide { 8 } else { 4 };
        let mut fde = |begin: u64, len: u64| {
            let field = ADDRESS + made.bytes.len() as u64 + 8;
            let relative = if begin == 0 { 0 } else { begin.wrapping_sub(field) };
            made.raw_fde(cie, &[&relative.to_le_bytes()[..size], &len.to_le_bytes()[..size]].concat(), &[]);
        };
        for (begin, len) in [(0xfa0, 0), (0, 16), (0xfa0, 16), (0xfb0, 0), (0x5000, 0), (0xfb0, 8), (0, 0)] {
            fde(begin, len);
        }
        let mut bytes = made.end();
        let before = run(&bytes).unwrap();
        assert_eq!((before.functions, before.empty), (2, 5));
        adapt(&mut bytes, ADDRESS, &scope(Format::X86_64), 0).unwrap();
        assert_eq!(run(&bytes).unwrap(), Checked { empty: 0, ..before });
    }
}
