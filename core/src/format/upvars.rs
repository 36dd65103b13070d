//! Upvars: the modules of the artifact that a nested module can refer to. The encoding is a tree. In memory it is a flat list of
//! nodes with parent indexes, so that only decoding and encoding recurse, and those to a bounded depth.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, SerializeStruct, Serializer};

use super::wire;
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::limits::MAX_UPVAR_DEPTH;

/// One upvar: a node of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upvar {
    /// Index of the parent node; none at the top level.
    pub parent: Option<u32>,
    /// Index of the artifact's module that the node stands for.
    pub module: u64,
    first: u32,
    count: u32,
    depth: u16,
}

/// All upvars of an artifact. A parent precedes its children; siblings keep their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upvars {
    nodes: Vec<Upvar>,
    modules: Vec<u64>,
}

impl Upvars {
    /// Returns all nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Upvar] {
        &self.nodes
    }

    /// Returns the indexes of the artifact's modules that a node passes on.
    #[must_use]
    pub fn artifact_upvars(&self, node: &Upvar) -> &[u64] {
        let first = node.first as usize;
        self.modules.get(first..first + node.count as usize).unwrap_or(&[])
    }

    /// Adds a node as its parent's last child, and returns its index.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if there is no such parent, LIMIT if the node would be nested too deep, NO_MEMORY.
    pub fn add(&mut self, parent: Option<u32>, module: u64, artifact_upvars: &[u64]) -> Result<u32> {
        let index = self.push_node(parent)?;
        match self.set_node(index, module, artifact_upvars) {
            Ok(()) => Ok(index),
            Err(error) => {
                self.nodes.pop();
                Err(error)
            }
        }
    }

    /// Appends a node of which only the parent is known yet, and returns its index.
    fn push_node(&mut self, parent: Option<u32>) -> Result<u32> {
        let depth = match parent {
            None => 0,
            Some(index) => {
                let found = self.nodes.get(index as usize).ok_or_else(|| {
                    let count = self.nodes.len();
                    Error::new(
                        Status::InvalidArgument,
                        format!("parent: expected an upvar below {count}, found {index}"),
                    )
                })?;
                found.depth + 1
            }
        };
        if usize::from(depth) >= MAX_UPVAR_DEPTH {
            return Err(Error::new(Status::Limit, wire::TOO_DEEP));
        }
        let index = to_u32(self.nodes.len())?;
        alloc::push(&mut self.nodes, Upvar { parent, module: 0, first: 0, count: 0, depth }, "upvars")?;
        Ok(index)
    }

    /// Sets the module of a node and the modules that it passes on.
    fn set_node(&mut self, index: u32, module: u64, artifact_upvars: &[u64]) -> Result<()> {
        let (first, count) = (to_u32(self.modules.len())?, to_u32(artifact_upvars.len())?);
        self.modules.try_reserve(artifact_upvars.len()).map_err(|_| Error::no_memory("upvars"))?;
        self.modules.extend_from_slice(artifact_upvars);
        if let Some(node) = self.nodes.get_mut(index as usize) {
            *node = Upvar { module, first, count, ..*node };
        }
        Ok(())
    }

    /// Checks that every module index is in range for an artifact of `modules` modules.
    ///
    /// # Errors
    ///
    /// CORRUPT for the first that is not.
    pub fn check(&self, modules: u64) -> Result<()> {
        let named = self.nodes.iter().map(|node| node.module);
        match named.chain(self.modules.iter().copied()).find(|module| *module >= modules) {
            None => Ok(()),
            Some(found) => {
                let message = format!("upvar: expected a module index below {modules}, found {found}");
                Err(Error::corrupt(message))
            }
        }
    }

    /// Returns the child lists: first of the root, then of each node.
    fn children(&self) -> Vec<Vec<u32>> {
        let mut children = vec![Vec::new(); self.nodes.len() + 1];
        for (index, node) in (0..).zip(&self.nodes) {
            let parent = node.parent.map_or(0, |parent| parent as usize + 1);
            if let Some(siblings) = children.get_mut(parent) {
                siblings.push(index);
            }
        }
        children
    }
}

fn to_u32(count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|_| Error::no_memory("upvars"))
}

struct Siblings<'a> {
    upvars: &'a Upvars,
    children: &'a [Vec<u32>],
    parent: usize,
}

impl Serialize for Upvars {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let children = self.children();
        Siblings { upvars: self, children: &children, parent: 0 }.serialize(serializer)
    }
}

impl Serialize for Siblings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let indexes = self.children.get(self.parent).map_or(&[][..], Vec::as_slice);
        let mut seq = serializer.serialize_seq(Some(indexes.len()))?;
        for index in indexes {
            seq.serialize_element(&Node { list: self, index: *index })?;
        }
        seq.end()
    }
}

struct Node<'a> {
    list: &'a Siblings<'a>,
    index: u32,
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Siblings { upvars, children, .. } = *self.list;
        let index = self.index as usize;
        let node = upvars.nodes.get(index).ok_or_else(|| serde::ser::Error::custom("upvar without a node"))?;
        let mut fields = serializer.serialize_struct("Upvar", 3)?;
        fields.serialize_field("index", &node.module)?;
        fields.serialize_field("artifact_upvars", upvars.artifact_upvars(node))?;
        fields.serialize_field("module_upvars", &Siblings { upvars, children, parent: index + 1 })?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Upvars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Upvars, D::Error> {
        let mut upvars = Upvars::default();
        ListSeed { upvars: &mut upvars, parent: None }.deserialize(deserializer)?;
        Ok(upvars)
    }
}

/// Decodes a list of upvars into one flat list.
struct ListSeed<'u> {
    upvars: &'u mut Upvars,
    parent: Option<u32>,
}

impl<'de> DeserializeSeed<'de> for ListSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of upvars")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        let ListSeed { upvars, parent } = self;
        while seq.next_element_seed(NodeSeed { upvars: &mut *upvars, parent })?.is_some() {
            // NodeSeed appends each node to the list itself.
        }
        Ok(())
    }
}

struct NodeSeed<'u> {
    upvars: &'u mut Upvars,
    parent: Option<u32>,
}

/// The fields of an upvar in JSON, which names them.
#[derive(Clone, Copy, serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Index,
    ArtifactUpvars,
    ModuleUpvars,
}

const FIELDS: [&str; 3] = ["index", "artifact_upvars", "module_upvars"];

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        if deserializer.is_human_readable() {
            return deserializer.deserialize_map(self);
        }
        deserializer.deserialize_struct("Upvar", &FIELDS, self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an upvar")
    }
    // The binary encoding.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        let missing = || A::Error::custom("upvar: expected three fields");
        let module = seq.next_element()?.ok_or_else(missing)?;
        let artifact_upvars: ModuleIndexes = seq.next_element()?.ok_or_else(missing)?;
        let index = self.upvars.add(self.parent, module, &artifact_upvars.0).map_err(custom_error)?;
        // The recursion is bounded: `add` has rejected a node that is nested too deep.
        let children = ListSeed { upvars: self.upvars, parent: Some(index) };
        seq.next_element_seed(children)?.ok_or_else(missing)
    }
    // JSON. Fields come in any order, so the node must be in the list before its children are read.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let NodeSeed { upvars, parent } = self;
        let index = upvars.push_node(parent).map_err(custom_error)?;
        let (mut module, mut artifact_upvars, mut children) = (None, None, None);
        while let Some(field) = map.next_key()? {
            match field {
                Field::Index if module.is_none() => module = Some(map.next_value()?),
                Field::ArtifactUpvars if artifact_upvars.is_none() => {
                    artifact_upvars = Some(map.next_value::<ModuleIndexes>()?)
                }
                Field::ModuleUpvars if children.is_none() => {
                    children = Some(map.next_value_seed(ListSeed { upvars: &mut *upvars, parent: Some(index) })?);
                }
                duplicate => {
                    let name = FIELDS.get(duplicate as usize).copied().unwrap_or_default();
                    return Err(A::Error::duplicate_field(name));
                }
            }
        }
        let [index_field, artifact_upvars_field, module_upvars_field] = FIELDS;
        let module = module.ok_or_else(|| A::Error::missing_field(index_field))?;
        let artifact_upvars = artifact_upvars.ok_or_else(|| A::Error::missing_field(artifact_upvars_field))?;
        children.ok_or_else(|| A::Error::missing_field(module_upvars_field))?;
        upvars.set_node(index, module, &artifact_upvars.0).map_err(custom_error)
    }
}

fn custom_error<E: serde::de::Error>(error: Error) -> E {
    E::custom(if error.status() == Status::NoMemory { wire::NO_MEMORY } else { wire::TOO_DEEP })
}

#[derive(serde::Deserialize)]
struct ModuleIndexes(#[serde(deserialize_with = "wire::list")] Vec<u64>);
