//! Nothing: building this package's dependencies compiles the projects that tests/projects.rs links.
