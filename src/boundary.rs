//! The boundary that every call from C crosses: a panic becomes ARTIFACT_INTERNAL, the thread isn't cancelled, a NULL argument becomes an
//! error that names the argument, and every out-parameter is written, whether the call succeeds or fails.

use std::any::Any;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::error::artifact_error_t;
use super::library::artifact_status_t;
use artifact::error::{Error, Result, Status};

/// Evaluates the body of a C function, in which the unsafe functions of this module can be called.
///
/// This is the only `unsafe` block that reads, writes or frees what C passes. It relies on what the caller of a C function
/// promises, which the header says under "Arguments":
///
/// - A pointer is NULL, or points at a live value of its type that nothing changes during the call. An array has as many
///   elements as its length says, a string ends with NUL, an options struct has as many bytes as its `size` says.
/// - A handle was returned by this library and hasn't been freed. If it isn't `const`, no other thread uses it.
/// - An out-parameter can be written, and overlaps no other argument.
/// - A callback has the type that the header declares, and doesn't unwind.
/// - Bytes that the header says are borrowed stay unchanged as long as it says.
macro_rules! ffi {
    ($body:expr) => {{
        // An `unsafe fn` called outside of an `unsafe` block: in a safe function, whose caller has promised nothing, this
        // doesn't compile.
        #[allow(unsafe_op_in_unsafe_fn)]
        let () = super::boundary::caller_has_promised();
        // SAFETY: the function around this is an `unsafe fn`, and its caller has promised what is listed above. Each argument
        // goes to the functions below with its own type and length.
        unsafe { $body }
    }};
}
pub(crate) use ffi;

/// Ties [`ffi!`] to unsafe functions.
pub const unsafe fn caller_has_promised() {}

/// Runs a call that can fail, and reports its outcome through `error` and the status.
///
/// # Safety
///
/// `error` is NULL or can be written.
pub unsafe fn fallible(error: *mut *mut artifact_error_t, body: impl FnOnce() -> Result<()>) -> artifact_status_t {
    let failure = caught(body).err();
    // SAFETY: `error` is NULL or can be written, as `report` requires.
    unsafe { report(error, failure) }
}

/// Writes the error that C gets, or NULL, and returns the status. Not generic: only one copy is compiled.
///
/// # Safety
///
/// As [`fallible`].
unsafe fn report(error: *mut *mut artifact_error_t, failure: Option<Error>) -> artifact_status_t {
    let (status, handle) = match failure {
        None => (Status::Ok, std::ptr::null_mut()),
        Some(failure) => artifact_error_t::boxed(failure),
    };
    if error.is_null() {
        // SAFETY: `handle` is NULL or comes from `boxed`, and nothing else has it.
        unsafe { free(handle) };
    } else {
        // SAFETY: `error` isn't NULL, so it can be written.
        unsafe { error.write(handle) };
    }
    status.into()
}

/// Runs a call whose result C gets through `to`, which holds `empty` if the call fails. `name` is the parameter's name in C.
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
    // SAFETY: `to` is NULL or can be written, as `out` requires; so is `error`, as `fallible` requires.
    unsafe {
        fallible(error, || {
            let to = out(to, name, empty)?;
            *to = body()?;
            Ok(())
        })
    }
}

/// Runs a call that creates an object, and gives C an owned handle through `to`.
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
    // SAFETY: `to` and `error` are as `give` requires.
    unsafe { give(to, name, std::ptr::null_mut(), error, || body().map(|object| Box::into_raw(Box::new(object)))) }
}

/// Frees a handle.
///
/// # Safety
///
/// `handle` is NULL, or comes from `Box::into_raw` and is not used afterwards.
pub unsafe fn free<T>(handle: *mut T) {
    infallible((), || {
        if !handle.is_null() {
            // SAFETY: not NULL, so it comes from `Box::into_raw`, and this is its last use.
            drop(unsafe { Box::from_raw(handle) });
        }
    });
}

/// Runs a call that can't fail. If it panics, which is a defect of the library, returns `fallback`.
pub fn infallible<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    let mut result = fallback;
    // After a panic `result` still is the fallback. The function has no parameter through which C could get the error.
    let _ = caught(|| {
        result = body();
        Ok(())
    });
    result
}

/// Runs a body and turns its panic into an error.
fn caught<F: FnOnce() -> Result<()>>(body: F) -> Result<()> {
    fn run<F: FnOnce() -> Result<()>>(body: *mut c_void) -> Result<()> {
        // SAFETY: `body` points at the `ManuallyDrop<F>` below: `guarded` gets both from there, and calls `run` once, before
        // `caught` returns. Nothing else reads the body.
        unsafe { ManuallyDrop::take(&mut *body.cast::<ManuallyDrop<F>>())() }
    }
    let mut body = ManuallyDrop::new(body);
    guarded(run::<F>, (&raw mut body).cast())
}

#[allow(unused_doc_comments)] // which keeps the function out of the header
/// cbindgen:ignore
unsafe extern "C" {
    /// POSIX; not in the crate `libc`.
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

/// While this exists, the thread isn't cancelled (`pthread_cancel`): that unwinds at the next system call, which ends the process in the
/// first of our frames. It is cancelled at one of the program's own calls.
struct Uncancelled(c_int);

impl Uncancelled {
    fn new() -> Uncancelled {
        const PTHREAD_CANCEL_DISABLE: c_int = 1; // in glibc and musl
        let mut before = 0;
        // SAFETY: a number to write to.
        unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &raw mut before) };
        Uncancelled(before)
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        // SAFETY: the state that the thread had, and a number to write to.
        unsafe { pthread_setcancelstate(self.0, &raw mut self.0) };
    }
}

/// Catches panics. It is neither generic nor takes a trait object, so that each of two hundred C functions has neither a copy of
/// this nor a vtable.
#[inline(never)]
fn guarded(run: fn(*mut c_void) -> Result<()>, body: *mut c_void) -> Result<()> {
    let _uncancelled = Uncancelled::new();
    // Unwind safety: a panic can leave only the caller's builder or engine half-changed, and each change of those is one
    // assignment or one push.
    match catch_unwind(AssertUnwindSafe(|| run(body))) {
        Ok(outcome) => outcome,
        Err(payload) => {
            let message = format!("internal error: {}", panic_message(&*payload));
            // Dropping the payload could panic again, outside of `catch_unwind`.
            std::mem::forget(payload);
            Err(Error::new(Status::Internal, message))
        }
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}

/// Removes the panic hook, which would print, when the library is loaded: later, in a signal handler or a child, the lock of the hook
/// could be taken. The C library has a standard library, and so a hook, of its own; the hook stays in tests, which share it with the
/// program that runs them.
#[cfg(not(any(test, fuzzing)))]
#[used]
// SAFETY: an array of functions, which the dynamic linker calls with arguments that this one ignores.
#[unsafe(link_section = ".init_array")]
static SILENCE: extern "C" fn() = {
    extern "C" fn silence() {
        std::panic::set_hook(Box::new(|_| ()));
    }
    silence
};

fn null(name: &str) -> Error {
    Error::new(Status::InvalidArgument, format!("{name}: expected a pointer, found NULL"))
}

/// Borrows a handle or struct that the call reads.
///
/// # Safety
///
/// `pointer` is NULL or points at a `T` that lives for `'a`.
pub unsafe fn handle<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    // SAFETY: `pointer` is NULL, which `as_ref` checks, or points at a live `T`.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// Borrows a handle that the call changes.
///
/// # Safety
///
/// `pointer` is NULL or points at a `T` that lives for `'a`, during which nothing else uses it.
pub unsafe fn handle_mut<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T> {
    // SAFETY: `pointer` is NULL, which `as_mut` checks, or points at a live `T` that only this call uses.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

/// Borrows an out-parameter, and sets it to `empty` first, so that it is written even if the call fails later.
///
/// # Safety
///
/// `pointer` is NULL or can be written for `'a`, during which nothing else uses it. It need not be initialized.
pub unsafe fn out<'a, T>(pointer: *mut T, name: &str, empty: T) -> Result<&'a mut T> {
    // SAFETY: `pointer` is as `out_optional` requires.
    unsafe { out_optional(pointer, empty) }.ok_or_else(|| null(name))
}

/// Borrows an out-parameter that may be NULL.
///
/// # Safety
///
/// As [`out`].
pub unsafe fn out_optional<'a, T>(pointer: *mut T, empty: T) -> Option<&'a mut T> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: `pointer` isn't NULL, so it can be written; after that it points at an initialized `T`.
    unsafe {
        pointer.write(empty);
        Some(&mut *pointer)
    }
}

/// Borrows a buffer of bytes, and sets it to zeros first. `None` if it is NULL and not empty.
///
/// # Safety
///
/// `data` is NULL, or `len` bytes there can be written for `'a`, during which nothing else uses them. They need not be initialized.
pub unsafe fn out_array<'a>(data: *mut u8, len: usize) -> Option<&'a mut [u8]> {
    if len == 0 {
        return Some(&mut []);
    }
    if data.is_null() || len > isize::MAX as usize {
        return None;
    }
    // SAFETY: `data` isn't NULL, so `len` bytes can be written there; after that they are initialized.
    unsafe {
        data.write_bytes(0, len);
        Some(std::slice::from_raw_parts_mut(data, len))
    }
}

/// Borrows an array. NULL is allowed if the array is empty.
///
/// # Safety
///
/// `data` points at `len` values that stay unchanged for `'a`, unless it is NULL or `len` is 0.
pub unsafe fn slice<'a, T>(data: *const T, len: usize, name: &str) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(null(name));
    }
    if len > isize::MAX as usize / size_of::<T>().max(1) {
        let message = format!("{name}: expected a length that fits into memory, found {len}");
        return Err(Error::new(Status::InvalidArgument, message));
    }
    // SAFETY: `data` isn't NULL and points at `len` values, whose size in bytes fits into `isize`.
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

/// Borrows a string, which must be UTF-8.
///
/// # Safety
///
/// `text` is NULL, or NUL-terminated and unchanged for `'a`.
pub unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: `text` is as `c_string` requires.
    utf8(unsafe { c_string(text, name) }?, name)
}

/// Borrows a string, which must be UTF-8, with its NUL.
///
/// # Safety
///
/// As [`text`].
pub unsafe fn c_text<'a>(text: *const c_char, name: &str) -> Result<&'a CStr> {
    // SAFETY: `text` is as `c_string` requires.
    let text = unsafe { c_string(text, name) }?;
    if !text.to_bytes().is_ascii() {
        utf8(text, name)?;
    }
    Ok(text)
}

fn utf8<'a>(text: &'a CStr, name: &str) -> Result<&'a str> {
    text.to_str().map_err(|error| {
        let at = error.valid_up_to();
        Error::new(Status::InvalidArgument, format!("{name}: expected UTF-8, found an invalid byte at {at}"))
    })
}

/// Borrows a path in the parameter `path`: any bytes, as file systems have it.
///
/// # Safety
///
/// As [`text`].
pub unsafe fn path<'a>(path: *const c_char) -> Result<&'a Path> {
    // SAFETY: `path` is as `c_string` requires.
    unsafe { path_in(path, "path") }
}

/// Borrows a path in another parameter.
///
/// # Safety
///
/// As [`text`].
pub unsafe fn path_in<'a>(path: *const c_char, name: &str) -> Result<&'a Path> {
    // SAFETY: `path` is as `c_string` requires.
    let bytes = unsafe { c_string(path, name) }?.to_bytes();
    if bytes.is_empty() {
        let message = format!("{name}: expected a file name, found an empty string");
        return Err(Error::new(Status::InvalidArgument, message));
    }
    Ok(Path::new(OsStr::from_bytes(bytes)))
}

/// Borrows a string.
///
/// # Safety
///
/// As [`text`].
unsafe fn c_string<'a>(text: *const c_char, name: &str) -> Result<&'a CStr> {
    if text.is_null() {
        return Err(null(name));
    }
    // SAFETY: `text` isn't NULL, so it is NUL-terminated and unchanged for `'a`.
    Ok(unsafe { CStr::from_ptr(text) })
}

/// Turns what a callback of the caller's returned into a result: a status, and the error that it left, if it did.
pub fn callback_result(name: &str, status: u32, error: Option<Error>) -> Result<()> {
    let Some(known) = Status::ALL.iter().copied().find(|known| *known as u32 == status) else {
        let message =
            format!("{name}: expected a function that returns an artifact_status_t, found one that returned {status}");
        return Err(Error::new(Status::InvalidArgument, message));
    };
    match (known, error) {
        (Status::Ok, _) => Ok(()),
        (_, Some(error)) => Err(error.with_status(known)),
        (_, None) => Err(Error::new(known, format!("{name}: failed with status {status}"))),
    }
}

/// The error for an index that isn't below `count`.
pub fn past_the_end(what: &str, index: usize, count: usize) -> Error {
    let message = match count {
        0 => format!("{what} index: expected none (there are no entries), found {index}"),
        _ => format!("{what} index: expected a number below {count}, found {index}"),
    };
    Error::new(Status::NotFound, message)
}

/// Refuses the flags of an options struct that this library doesn't know.
pub fn known_flags(flags: u64, known: u64) -> Result<()> {
    if flags & !known == 0 {
        return Ok(());
    }
    let message = format!("options.flags: expected only flags that this library has, {known:#x}, found {flags:#x}");
    Err(Error::new(Status::Unsupported, message))
}

/// The error for an enumerator that none of our `count` has.
pub fn unknown(name: &str, found: u32, count: u32) -> Error {
    Error::new(Status::InvalidArgument, format!("{name}: expected 0 to {}, found {found}", count - 1))
}

/// Reads an options struct of a caller that may be older or newer than the library. Its first field, `size`, says how many bytes
/// the caller knows. Fields that the caller doesn't know keep their defaults; bytes that we don't know must be 0.
///
/// # Safety
///
/// `options` is NULL, or points at a `size_t` and as many bytes in all as that says.
pub unsafe fn options<T: Copy>(options: *const T, defaults: T, name: &str) -> Result<T> {
    if options.is_null() {
        return Ok(defaults);
    }
    // SAFETY: `options` isn't NULL, so it points at a `size_t`; the read doesn't assume its alignment.
    let size = unsafe { options.cast::<usize>().read_unaligned() };
    if size < size_of::<usize>() || size > 1 << 16 {
        let message = format!("{name}: expected size to be that of the struct, found {size}");
        return Err(Error::new(Status::InvalidArgument, message));
    }
    let known = size.min(size_of::<T>());
    // SAFETY: `size` bytes are there, and `known` is at most `size`.
    let rest = unsafe { std::slice::from_raw_parts(options.cast::<u8>().add(known), size - known) };
    if rest.iter().any(|byte| *byte != 0) {
        let known = size_of::<T>();
        let message = format!(
            "{name}: expected zeros after the {known} bytes that this version knows, found options of a newer version"
        );
        return Err(Error::new(Status::Unsupported, message));
    }
    let mut read = defaults;
    // SAFETY: `known` bytes can be read and fit into `read`. Every field of an options struct is an integer, a pointer or an
    // optional function, and the caller has filled in those that it knows.
    unsafe { std::ptr::copy_nonoverlapping(options.cast::<u8>(), (&raw mut read).cast::<u8>(), known) };
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_internal_error() {
        let mut error = std::ptr::null_mut();
        // SAFETY: `error` is a local variable.
        let status = unsafe { fallible(&mut error, || panic!("on purpose {}", 1)) };
        assert_eq!(status as u32, Status::Internal as u32);
        // SAFETY: `fallible` has written it.
        let message = unsafe { handle(error, "error") }.unwrap().message();
        assert_eq!(message.to_str().unwrap(), "internal error: on purpose 1");
        // SAFETY: it comes from `fallible`, and this is its last use.
        unsafe { free(error) };
        assert_eq!(infallible(7, || panic!("again")), 7);
    }

    #[test]
    fn an_error_without_a_taker_is_freed() {
        // SAFETY: NULL is allowed.
        let status = unsafe { fallible(std::ptr::null_mut(), || Err(Error::new(Status::Limit, "x"))) };
        assert_eq!(status as u32, Status::Limit as u32);
    }
}
