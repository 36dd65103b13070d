//! The targets that a cache makes code for and looks for.

use super::CacheOptions;
use crate::builder::{Builder, Settings};
use crate::engine::Engine;
use crate::error::{Error, Result, Status};
use crate::format::trailer::Digest;

/// A target: an engine that code is made for, and what names entries made for it.
#[derive(Debug)]
pub(super) struct Target {
    pub engine: Engine,
    pub settings: Settings,
    pub fingerprint: Digest,
}

/// Returns the targets in order of preference, each once.
///
/// # Errors
///
/// INVALID_ARGUMENT for a target of another producer or version than the host's.
pub(super) fn targets(host: &Engine, options: &CacheOptions) -> Result<Vec<Target>> {
    let engines = if options.targets.is_empty() { std::slice::from_ref(host) } else { &options.targets };
    let mut targets: Vec<Target> = Vec::new();
    for engine in engines {
        if engine.producer() != host.producer() || engine.version_rule() != host.version_rule() {
            let message = format!(
                "target: expected an engine of producer '{}' and of the host's version rule, found one of producer '{}' and version '{}'",
                host.producer(),
                engine.producer(),
                crate::error::quote(engine.version().as_bytes()),
            );
            return Err(Error::new(Status::InvalidArgument, message));
        }
        let fingerprint = engine.fingerprint();
        if !targets.iter().any(|known| known.fingerprint == fingerprint) {
            targets.push(Target { settings: Settings::from(engine), engine: engine.clone(), fingerprint });
        }
    }
    Ok(targets)
}

/// Returns the target that a builder's code is made for: the one with exactly its settings, or else the least demanding one of those
/// that the code fits, so that as many machines as possible find it.
///
/// # Errors
///
/// As comparing with the first target, if the code fits none of them.
pub(super) fn target_of<'t>(targets: &'t [Target], builder: &Builder<'_>) -> Result<&'t Target> {
    if let Some(target) = targets.iter().find(|target| builder.is_for(&target.settings)) {
        return Ok(target);
    }
    let mut first = None;
    for target in targets.iter().rev() {
        match builder.check(&target.engine) {
            Ok(()) => return Ok(target),
            Err(error) => first = Some(error),
        }
    }
    Err(first.unwrap_or_else(|| Error::new(Status::Internal, "a cache without targets")))
}
