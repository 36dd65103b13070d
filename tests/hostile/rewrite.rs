//! What opens and is written again has the same body and the same attributes.

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

/// One input.
pub fn run(data: &[u8]) {
    let mut data = data.to_vec();
    super::reseal(&mut data);
    let Ok(artifact) = open(&data) else { return };
    let body = &data[..artifact.body_end() as usize];
    let Ok(mut builder) = Builder::from_artifact(artifact.clone()) else { return };
    // Damage that opening leaves alone is found now, at the latest.
    let Ok(written) = builder.serialize() else { return };
    assert!(written.starts_with(body));
    let again = open(&written).expect("what was written");
    assert_eq!(again.body_end(), body.len() as u64);
    assert_eq!(attributes(&again), attributes(&artifact));
    assert_eq!(again.verify().is_ok(), artifact.verify().is_ok());
    builder.clear_attributes();
    builder.set_trailer(false).expect("no attributes");
    assert_eq!(builder.serialize().expect("as before"), body);
}
