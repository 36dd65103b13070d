//! Cache remote: a store that caches of several machines share.

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::Arc;

use super::boundary::{callback_result, ffi, infallible, options, slice};
use super::saving::artifact_write_fn;
use artifact::cache::Remote;
use artifact::error::{Error, Result, Status, quote};

/// A store that caches of several machines share, such as a server: two functions that fetch and store bytes under a name,
/// which is 64 lower-case hexadecimal digits. Both are called by several threads at once. They must not unwind (throw) or longjmp,
/// and must not use the cache. They should give up soon on a server that does not answer, and not ask it again for a while.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_cache_remote_t {
    /// sizeof(artifact_cache_remote_t).
    pub size: usize,
    /// Passed to get and put; may be NULL.
    pub context: *mut c_void,
    /// Fetches what is stored under name: passes the bytes to write(write_context, data, len), in one call or several, in
    /// order, at most max_len bytes in all. Returns ARTIFACT_OK; ARTIFACT_NOT_FOUND if there is nothing of this name; or another
    /// artifact_status_t, with a NUL-terminated sentence of at most message_len bytes in message. If write returns a value other than 0,
    /// get calls it no more, and returns ARTIFACT_LIMIT.
    pub get: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            name: *const c_char,
            max_len: u64,
            write: artifact_write_fn,
            write_context: *mut c_void,
            message: *mut c_char,
            message_len: usize,
        ) -> u32,
    >,
    /// Stores len bytes of data under name, replacing what is there. Returns as get does. NULL: nothing is ever stored.
    pub put: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            name: *const c_char,
            data: *const u8,
            len: usize,
            message: *mut c_char,
            message_len: usize,
        ) -> u32,
    >,
}

/// A remote in C. What it points at is valid until the cache is freed, and its functions are called by several threads at once, which the
/// header says.
struct ForeignRemote(artifact_cache_remote_t);

// SAFETY: the library only passes the context on, to functions of which the header says that any thread calls them.
unsafe impl Send for ForeignRemote {}
// SAFETY: likewise, of which the header says that several threads call them at once.
unsafe impl Sync for ForeignRemote {}

/// Reads a remote in the options of a cache.
pub(super) unsafe fn read_remote(given: *const artifact_cache_remote_t) -> Result<Option<Arc<dyn Remote>>> {
    if given.is_null() {
        return Ok(None);
    }
    let defaults = artifact_cache_remote_t { size: 0, context: std::ptr::null_mut(), get: None, put: None };
    let remote = ffi!(options(given, defaults, "options.remote"))?;
    if remote.get.is_none() {
        let message = "options.remote.get: expected a function, found NULL";
        return Err(Error::new(Status::InvalidArgument, message));
    }
    Ok(Some(Arc::new(ForeignRemote(remote))))
}

/// Room for the sentence in which a remote says why something failed.
type Message = [u8; 512];

/// Returns the error of a remote's function.
fn failure(name: &str, status: u32, message: &Message) -> Result<()> {
    let said = message.split(|byte| *byte == 0).next().unwrap_or_default();
    let error = (!said.is_empty()).then(|| Error::new(Status::Io, quote(said)));
    callback_result(name, status, error)
}

/// EFBIG of Linux: what a function that writes returns when it takes no more.
const FULL: c_int = 27;

/// The sink of a fetch.
struct Sink<'s> {
    take: &'s mut dyn FnMut(&[u8]) -> bool,
    /// Whether it takes more.
    open: bool,
}

unsafe extern "C" fn write(sink: *mut c_void, data: *const u8, len: usize) -> c_int {
    ffi!(infallible(FULL, || {
        let Some(sink) = sink.cast::<Sink<'_>>().as_mut() else { return FULL };
        sink.open = sink.open && slice(data, len, "data").is_ok_and(|data| (sink.take)(data));
        if sink.open { 0 } else { FULL }
    }))
}

impl Remote for ForeignRemote {
    fn get(&self, name: &str, max_len: u64, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
        let Some(get) = self.0.get else { return Ok(false) };
        let name = c_name(name)?;
        let mut message: Message = [0; 512];
        let mut sink = Sink { take: sink, open: true };
        // SAFETY: the function and its context are valid until the cache is freed, as the header requires. `write` gets the sink that
        // belongs to it, and `message` is as long as its length says.
        let status = unsafe {
            let into = (&raw mut sink).cast();
            get(self.0.context, name.as_ptr(), max_len, Some(write), into, message.as_mut_ptr().cast(), message.len())
        };
        if status == Status::NotFound as u32 {
            return Ok(false);
        }
        failure("remote.get", status, &message)?;
        Ok(true)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let Some(put) = self.0.put else { return Ok(()) };
        let name = c_name(name)?;
        let mut message: Message = [0; 512];
        // SAFETY: the function and its context are valid until the cache is freed, as the header requires; `message` is as long as its
        // length says.
        let status = unsafe {
            let (text, len) = (message.as_mut_ptr().cast(), message.len());
            put(self.0.context, name.as_ptr(), bytes.as_ptr(), bytes.len(), text, len)
        };
        failure("remote.put", status, &message)
    }
}

fn c_name(name: &str) -> Result<CString> {
    CString::new(name).map_err(|_| Error::new(Status::Internal, "name: expected no NUL, found one"))
}
