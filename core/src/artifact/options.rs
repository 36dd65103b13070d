//! How an artifact is opened.

use super::{Part, Voucher};
use crate::limits::MAX_METADATA;
use crate::storage::Region;
use crate::trust::keys::PublicKey;

/// Options for opening an artifact.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct OpenOptions<'s> {
    /// The part of the file or memory that holds the artifact.
    pub part: Part,
    /// Maximum number of bytes of Metadata to read.
    pub memory_limit: u64,
    /// Verify the whole artifact before returning it; of a file of several targets, the variant that is opened.
    pub verify: bool,
    /// Copy everything into private memory first, so that later changes of the file have no effect.
    pub copy: bool,
    /// Read modules into private memory on first use, rather than mapping them: a file that another process truncates is then an
    /// error, TRUNCATED, and not the end of this process. Opening reads no module, and `copy` all of them.
    pub read: bool,
    /// Maximum number of bytes that `copy` copies. Holes of a sparse file count: reading the copy can fill them with memory.
    pub copy_limit: u64,
    /// Detached signatures, in the form that a trailer stores them in. They need at least one trusted key to check them with.
    pub signature: &'s [u8],
    /// Keys to trust in addition to the engine's, for instance when opening without an engine.
    pub trusted: &'s [PublicKey],
    /// The variant to open of a file of several targets, by its index. Without one, it is the best that fits the engine, and if there
    /// is no engine the first in the file, which is the most portable.
    pub variant: Option<usize>,
    /// Refuse a file whose best variant for the engine's target does not fit the engine, even if another one does.
    pub require_best: bool,
    /// What the pack says that the artifact is in.
    pub(crate) voucher: Option<&'s Voucher>,
}

impl Default for OpenOptions<'_> {
    fn default() -> Self {
        OpenOptions {
            part: Part::default(),
            memory_limit: MAX_METADATA,
            verify: false,
            copy: false,
            read: false,
            copy_limit: u64::MAX,
            signature: &[],
            trusted: &[],
            variant: None,
            require_best: false,
            voucher: None,
        }
    }
}

impl OpenOptions<'_> {
    /// Returns whether modules are private copies: the region's bytes could change after a check. This must be determined before the
    /// first byte is read.
    pub(super) fn is_private(&self, region: &Region, trusting: bool) -> bool {
        (trusting || self.read && region.file().is_some()) && !region.is_immutable()
    }
}
