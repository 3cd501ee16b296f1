//! Bodies of the fuzz targets, so that `cargo test` compiles them and replays the corpus.
