//! The boundary that every call from C crosses: panics become ARTIFACT_INTERNAL, NULL becomes an error that names the
//! argument, and out-parameters are written whatever happens.

use std::any::Any;
use std::ffi::{CStr, OsStr, c_char, c_void};
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::error::artifact_error_t;
use super::library::artifact_status_t;
use artifact::error::{Error, Result, Status};

/// Runs a call that can fail. `error` is NULL or takes the error.
///
/// # Safety
///
/// `error` is NULL or can be written.
pub unsafe fn fallible(error: *mut *mut artifact_error_t, body: impl FnOnce() -> Result<()>) -> artifact_status_t {
    let failed = caught(body).err();
    // SAFETY: the caller's promise.
    unsafe { tell(error, failed) }
}

/// Gives C an error, or says that there is none.
///
/// # Safety
///
/// As [`fallible`].
unsafe fn tell(error: *mut *mut artifact_error_t, failed: Option<Error>) -> artifact_status_t {
    let (status, handle) = match failed {
        None => (Status::Ok, std::ptr::null_mut()),
        // An error that can't even be stored still has its status.
        Some(failure) => (failure.status(), artifact_error_t::boxed(&failure)),
    };
    if error.is_null() {
        // SAFETY: just made by `boxed`, or NULL.
        unsafe { free(handle) };
    } else {
        // SAFETY: the caller says that it can be written.
        unsafe { error.write(handle) };
    }
    status.into()
}

/// Runs a call whose result C gets through `to`, which holds `empty` if the call fails; `name` is what C calls it.
///
/// # Safety
///
/// `to` is as for [`out`], `error` as for [`fallible`].
pub unsafe fn give<T>(
    to: *mut T,
    name: &str,
    empty: T,
    error: *mut *mut artifact_error_t,
    body: impl FnOnce() -> Result<T>,
) -> artifact_status_t {
    // SAFETY: the caller's promise.
    unsafe {
        fallible(error, || {
            let to = out(to, name, empty)?;
            *to = body()?;
            Ok(())
        })
    }
}

/// Runs a call that makes something, which C gets through `to`.
///
/// # Safety
///
/// As [`give`].
pub unsafe fn give_handle<T>(
    to: *mut *mut T,
    name: &str,
    error: *mut *mut artifact_error_t,
    body: impl FnOnce() -> Result<T>,
) -> artifact_status_t {
    // SAFETY: the caller's promise.
    unsafe { give(to, name, std::ptr::null_mut(), error, || body().map(|made| Box::into_raw(Box::new(made)))) }
}

/// Takes a handle back.
///
/// # Safety
///
/// `handle` is NULL, or was given out in a box and is not used afterwards.
pub unsafe fn free<T>(handle: *mut T) {
    infallible((), || {
        if !handle.is_null() {
            // SAFETY: the caller's promise.
            drop(unsafe { Box::from_raw(handle) });
        }
    });
}

/// Runs a call that can't fail, but for a defect of ours, and then gives `fallback`.
pub fn infallible<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    let mut result = fallback;
    // After a panic it is the fallback still; the error would have nobody to read it.
    let _ = caught(|| {
        result = body();
        Ok(())
    });
    result
}

/// What a body returns, or its panic as an error.
fn caught<F: FnOnce() -> Result<()>>(body: F) -> Result<()> {
    fn run<F: FnOnce() -> Result<()>>(body: *mut c_void) -> Result<()> {
        // SAFETY: `guarded` is called with this function and such a body only, once, and the body isn't used afterwards.
        unsafe { ManuallyDrop::take(&mut *body.cast::<ManuallyDrop<F>>())() }
    }
    let mut body = ManuallyDrop::new(body);
    guarded(run::<F>, (&raw mut body).cast())
}

/// Catches panics. Not generic, and with a plain function instead of a trait object: two hundred functions would each have
/// this, or a vtable.
#[inline(never)]
fn guarded(run: fn(*mut c_void) -> Result<()>, body: *mut c_void) -> Result<()> {
    silence();
    // Unwind safety: what a panic leaves half-done is a builder or engine of the caller's, each of whose changes is one
    // assignment or one push.
    match catch_unwind(AssertUnwindSafe(|| run(body))) {
        Ok(outcome) => outcome,
        Err(payload) => {
            let message = format!("internal error: {}", panic_message(&*payload));
            // A payload whose own destructor panics must not get away here.
            std::mem::forget(payload);
            Err(Error::new(Status::Internal, message))
        }
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}

/// A caught panic prints nothing. The standard library, and with it the panic hook, is private to the C library; only the tests
/// that compile this in want to read what panics say.
fn silence() {
    #[cfg(not(any(test, fuzzing)))]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| std::panic::set_hook(Box::new(|_| ())));
    }
}

fn null(name: &str) -> Error {
    Error::new(Status::InvalidArgument, format!("{name}: expected a pointer, found NULL"))
}

/// A handle or struct that is read.
///
/// # Safety
///
/// `pointer` is NULL or points at a live `T`.
pub unsafe fn handle<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// A handle that is changed.
///
/// # Safety
///
/// `pointer` is NULL or points at a live `T` that nobody else uses during the call.
pub unsafe fn handle_mut<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

/// An out-parameter: set to `empty` at once, so that it is written on every path.
///
/// # Safety
///
/// `pointer` is NULL or can be written; it need not be initialized.
pub unsafe fn out<'a, T>(pointer: *mut T, name: &str, empty: T) -> Result<&'a mut T> {
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: not NULL, so the caller says that it can be written; then it is initialized.
    unsafe {
        pointer.write(empty);
        Ok(&mut *pointer)
    }
}

/// An out-parameter that may be NULL.
///
/// # Safety
///
/// As [`out`].
pub unsafe fn out_optional<'a, T>(pointer: *mut T, empty: T) -> Option<&'a mut T> {
    // SAFETY: the caller's promise.
    unsafe { out(pointer, "", empty) }.ok()
}

/// An array of the caller's. NULL is fine where it is empty.
///
/// # Safety
///
/// `data` points at `len` values that stay for `'a`.
pub unsafe fn slice<'a, T>(data: *const T, len: usize, name: &str) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(null(name));
    }
    if len > isize::MAX as usize / size_of::<T>().max(1) {
        let message = format!("{name}: expected a length that memory can have, found {len}");
        return Err(Error::new(Status::InvalidArgument, message));
    }
    // SAFETY: not NULL, of a possible length, and the caller says that the values are there.
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

/// Text of the caller's.
///
/// # Safety
///
/// `text` is NULL or NUL-terminated and stays for `'a`.
pub unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    utf8(unsafe { c_string(text, name) }?, name)
}

/// Text of the caller's, with its NUL.
///
/// # Safety
///
/// As [`text`].
pub unsafe fn c_text<'a>(text: *const c_char, name: &str) -> Result<&'a CStr> {
    // SAFETY: the caller's promise.
    let text = unsafe { c_string(text, name) }?;
    if !text.to_bytes().is_ascii() {
        utf8(text, name)?;
    }
    Ok(text)
}

fn utf8<'a>(text: &'a CStr, name: &str) -> Result<&'a str> {
    text.to_str().map_err(|error| {
        let at = error.valid_up_to();
        Error::new(Status::InvalidArgument, format!("{name}: expected UTF-8, found another byte at {at}"))
    })
}

/// A path of the caller's: bytes, as file systems see it.
///
/// # Safety
///
/// As [`text`].
pub unsafe fn path<'a>(path: *const c_char) -> Result<&'a Path> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { c_string(path, "path") }?.to_bytes();
    if bytes.is_empty() {
        return Err(Error::new(Status::InvalidArgument, "path: expected a file's name, found an empty one"));
    }
    Ok(Path::new(OsStr::from_bytes(bytes)))
}

unsafe fn c_string<'a>(text: *const c_char, name: &str) -> Result<&'a CStr> {
    if text.is_null() {
        return Err(null(name));
    }
    // SAFETY: not NULL, so the caller says that it is NUL-terminated.
    Ok(unsafe { CStr::from_ptr(text) })
}

/// There are only `count` of them.
pub fn past_the_end(what: &str, index: usize, count: usize) -> Error {
    let message = match count {
        0 => format!("{what} {index}: there are none"),
        _ => format!("{what} index: expected one below {count}, found {index}"),
    };
    Error::new(Status::NotFound, message)
}

/// Flags of an options struct that this library doesn't know are refused.
pub fn known_flags(flags: u64, known: u64) -> Result<()> {
    match flags & !known {
        0 => Ok(()),
        unknown => {
            let message = format!("options.flags: expected those of this library, {known:#x}, found {unknown:#x} too");
            Err(Error::new(Status::Unsupported, message))
        }
    }
}

/// A flag or key from C that none of our enumerations has.
pub fn unknown(name: &str, found: u32, count: u32) -> Error {
    Error::new(Status::InvalidArgument, format!("{name}: expected 0 to {}, found {found}", count - 1))
}

/// Reads an options struct that may be older or newer than the library: `size`, its first field, says how much of it the
/// caller knows. What the caller doesn't know keeps its default; what we don't know must be zero.
///
/// # Safety
///
/// `options` is NULL or points at a `size_t` and as many bytes behind it as that says.
pub unsafe fn options<T: Copy>(options: *const T, defaults: T, name: &str) -> Result<T> {
    if options.is_null() {
        return Ok(defaults);
    }
    // SAFETY: the first field is the size; alignment is not taken for granted.
    let size = unsafe { options.cast::<usize>().read_unaligned() };
    if size < size_of::<usize>() || size > 1 << 16 {
        let message = format!("{name}: expected size to be that of the struct, found {size}");
        return Err(Error::new(Status::InvalidArgument, message));
    }
    let known = size.min(size_of::<T>());
    // SAFETY: the caller says that `size` bytes are there.
    let tail = unsafe { std::slice::from_raw_parts(options.cast::<u8>().add(known), size - known) };
    if tail.iter().any(|byte| *byte != 0) {
        let known = size_of::<T>();
        let message = format!(
            "{name}: expected zeros behind the {known} bytes that this version knows, found others of a newer one"
        );
        return Err(Error::new(Status::Unsupported, message));
    }
    let mut read = defaults;
    // SAFETY: `known` bytes are there and fit; every field of an options struct is an integer or pointer, so that any
    // bytes are a value.
    unsafe { std::ptr::copy_nonoverlapping(options.cast::<u8>(), (&raw mut read).cast::<u8>(), known) };
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_internal_error() {
        let mut error = std::ptr::null_mut();
        // SAFETY: `error` can be written.
        let status = unsafe { fallible(&mut error, || panic!("on purpose {}", 1)) };
        assert_eq!(status as u32, Status::Internal as u32);
        // SAFETY: just written.
        let message = unsafe { handle(error, "error") }.unwrap().message();
        assert_eq!(message.to_str().unwrap(), "internal error: on purpose 1");
        // SAFETY: made above, freed once.
        unsafe { free(error) };
        assert_eq!(infallible(7, || panic!("again")), 7);
    }

    #[test]
    fn an_error_that_nobody_takes_is_freed() {
        // SAFETY: NULL is fine.
        let status = unsafe { fallible(std::ptr::null_mut(), || Err(Error::new(Status::Limit, "x"))) };
        assert_eq!(status as u32, Status::Limit as u32);
    }
}
