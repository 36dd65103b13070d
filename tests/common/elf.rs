//! Builds small ELF64 images in either byte order and various layouts.
#![allow(missing_docs, dead_code)]

/// The layout and content of an image.
#[derive(Clone, Debug)]
pub struct Shape {
    pub big_endian: bool,
    pub machine: u16,
    pub text: Vec<u8>,
    pub align: u64,
    /// Whether the section header table precedes the sections' bytes.
    pub headers_first: bool,
    /// Number of bytes after everything else.
    pub trailing: usize,
    /// Whether to use extended numbering, with the number of sections in section 0.
    pub extended: bool,
    /// Alignment of a PT_LOAD segment, if there is to be one.
    pub segment: Option<u64>,
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            big_endian: false,
            machine: 62,
            text: vec![0xc3],
            align: 16,
            headers_first: false,
            trailing: 0,
            extended: false,
            segment: None,
        }
    }
}

const NAMES: &[u8] = b"\0.text\0.shstrtab\0";
const SECTIONS: u64 = 3;

impl Shape {
    /// Returns an image with three sections: null section, `.text`, `.shstrtab`.
    pub fn image(&self) -> Vec<u8> {
        let mut out = Writer { bytes: Vec::new(), big_endian: self.big_endian };
        let segments = if self.segment.is_some() { 56 } else { 0 };
        let table = SECTIONS * 64;
        let content = 64 + segments + if self.headers_first { table } else { 0 };
        let text = content.next_multiple_of(self.align);
        let names = text + self.text.len() as u64;
        let content_end = names + NAMES.len() as u64;
        let headers = if self.headers_first { 64 + segments } else { content_end.next_multiple_of(8) };

        out.bytes.extend([0x7f, b'E', b'L', b'F', 2, if self.big_endian { 2 } else { 1 }, 1]);
        out.zeros_to(16);
        out.u16(if self.segment.is_some() { 3 } else { 1 });
        out.u16(self.machine);
        out.u32(1);
        out.u64(0);
        out.u64(if segments > 0 { 64 } else { 0 });
        out.u64(headers);
        out.u32(0);
        for half in [64, 56, u16::from(segments > 0), 64, if self.extended { 0 } else { SECTIONS as u16 }, 2] {
            out.u16(half);
        }
        if let Some(align) = self.segment {
            out.u32(1);
            out.u32(5);
            for word in [0, 0, 0, content_end, content_end, align] {
                out.u64(word);
            }
        }
        let extended = if self.extended { SECTIONS } else { 0 };
        let sections: [(u32, u32, u64, u64, u64, u64); 3] = [
            (0, 0, 0, 0, extended, 0),
            (1, 1, 6, text, self.text.len() as u64, self.align),
            (7, 3, 0, names, NAMES.len() as u64, 1),
        ];
        let table = |out: &mut Writer| {
            for (name, kind, flags, offset, size, align) in sections {
                out.u32(name);
                out.u32(kind);
                for word in [flags, 0, offset, size] {
                    out.u64(word);
                }
                out.u64(0);
                out.u64(align);
                out.u64(0);
            }
        };
        if self.headers_first {
            table(&mut out);
        }
        out.zeros_to(text);
        out.bytes.extend(&self.text);
        out.bytes.extend(NAMES);
        if !self.headers_first {
            out.zeros_to(headers);
            table(&mut out);
        }
        out.bytes.extend(std::iter::repeat_n(0xee, self.trailing));
        out.bytes
    }
}

struct Writer {
    bytes: Vec<u8>,
    big_endian: bool,
}

impl Writer {
    fn u16(&mut self, value: u16) {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }
    fn u32(&mut self, value: u32) {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }
    fn u64(&mut self, value: u64) {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }
    fn zeros_to(&mut self, len: u64) {
        self.bytes.resize(len as usize, 0);
    }
}
