//! Rewriting an artifact keeps its body and attributes.

use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;

fn open(bytes: &[u8]) -> artifact::error::Result<Arc<Artifact>> {
    Artifact::open_bytes(bytes, None, &OpenOptions::default()).map(Arc::new)
}

fn attributes(artifact: &Artifact) -> Vec<(String, Vec<u8>)> {
    let found = artifact.attributes().expect("attributes of a builder");
    found.iter().map(|found| (found.name.to_owned(), found.value.to_vec())).collect()
}

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let mut data = data.to_vec();
    super::reseal(&mut data);
    let Ok(artifact) = open(&data) else { return };
    let body = &data[..artifact.body_end() as usize];
    let Ok(mut builder) = Builder::from_artifact(artifact.clone()) else { return };
    // Serializing detects damage that opening does not check for.
    let Ok(written) = builder.serialize() else { return };
    assert!(written.starts_with(body));
    let rewritten = open(&written).expect("an artifact");
    assert_eq!(rewritten.body_end(), body.len() as u64);
    assert_eq!(attributes(&rewritten), attributes(&artifact));
    assert_eq!(rewritten.verify().is_ok(), artifact.verify().is_ok());
    builder.clear_attributes();
    builder.set_trailer(false).expect("no attributes");
    assert_eq!(builder.serialize().expect("as before"), body);
}
