//! Import table, file lengths and where `unsafe` stands, as tests.
