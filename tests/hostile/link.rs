//! Hostile relocatable objects: linking them either fails or gives an image that can be stored and that the loader accepts.

use artifact::error::Status;
use artifact::format::elf::ImageFixup;
use artifact::native::image;
use artifact::native::link::{Object, Options, link};

fn check(objects: &[Object<'_>], options: &Options) {
    match link(objects, options) {
        Ok(linked) => {
            ImageFixup::new(&linked).expect("an image that can be stored");
            let machine = u16::from_le_bytes([linked[18], linked[19]]);
            image::parse(&linked, machine, 4096).expect("an image that can be loaded");
            super::load::linked(&linked);
            assert!(linked == link(objects, options).expect("the same again"));
        }
        Err(error) => {
            assert_ne!(error.status(), Status::Internal, "{error}");
            assert!(!error.message().contains(char::is_control), "{error}");
        }
    }
}

/// Links one input: an object, an archive, or several objects, concatenated.
pub fn run(data: &[u8]) {
    const MAGIC: &[u8] = b"\x7fELF";
    let starts = (1..data.len()).filter(|at| data[*at..].starts_with(MAGIC));
    let bounds: Vec<usize> = [0].into_iter().chain(starts).chain([data.len()]).collect();
    let parts = bounds.windows(2).map(|pair| Object { name: "part", bytes: &data[pair[0]..pair[1]] });
    let objects: Vec<Object<'_>> = parts.take(8).collect();
    check(&[Object { name: "whole", bytes: data }], &Options::default());
    let mut options = Options::default();
    options.leave_out_debug = objects.len() > 2;
    (options.whole_archives, options.gc_sections, options.pack_relative_relocs) = (true, true, true);
    check(&objects, &options);
}
