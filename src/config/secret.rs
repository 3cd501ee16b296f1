//! Where secrets come from: the text itself, a file, or the environment.
use std::path::Path;

/// Reads what the configuration points to; a test has its own.
pub trait Secrets {
    /// Contents of a secret file, or a reason with what to do about it.
    ///
    /// # Errors
    /// `(message, hint)`; neither shows any of the contents.
    fn file(&self, path: &Path) -> Result<Vec<u8>, (String, String)>;
    /// Value of an environment variable.
    fn env(&self, name: &str) -> Option<Vec<u8>>;
}

/// The real files and the real environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;
impl Secrets for System {
    fn file(&self, path: &Path) -> Result<Vec<u8>, (String, String)> {
        let _ = path;
        todo!()
    }
    fn env(&self, name: &str) -> Option<Vec<u8>> {
        use std::os::unix::ffi::OsStringExt;
        std::env::var_os(name).map(OsStringExt::into_vec)
    }
}
