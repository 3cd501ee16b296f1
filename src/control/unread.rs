//! A stream whose other end has to read: what cannot be written for too long ends the connection, and with it what is kept for it.
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

/// A client reads something of what waits for it within this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// By which a handler ends the connection of its client, whatever that one reads.
#[derive(Clone, Debug, Default)]
pub struct Hangup(Arc<Notify>);
impl Hangup {
    /// Ends it.
    pub fn pull(&self) {
        self.0.notify_one();
    }
    /// Waits for that.
    pub async fn pulled(&self) {
        self.0.notified().await;
    }
}

/// The stream.
#[derive(Debug)]
pub struct Unread<S> {
    inner: S,
    /// Since the last octet that could be written.
    stuck: Option<Pin<Box<Sleep>>>,
}
impl<S> Unread<S> {
    /// Around another one.
    pub fn new(inner: S) -> Self {
        Self { inner, stuck: None }
    }
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        ready!(stuck.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}
impl<S: AsyncRead + Unpin> AsyncRead for Unread<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}
impl<S: AsyncWrite + Unpin> AsyncWrite for Unread<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.watch(cx, written)
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.watch(cx, written)
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// On a clock that leaps to the next deadline as soon as nothing else is to be done.
    fn paused() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    }

    #[test]
    fn who_does_not_read_is_left() {
        paused().block_on(async {
            let (ours, _theirs) = tokio::io::duplex(16);
            let error = Unread::new(ours).write_all(&[0; 64]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn who_reads_slowly_gets_it_all() {
        paused().block_on(async {
            let (ours, mut theirs) = tokio::io::duplex(16);
            let written = tokio::spawn(async move { Unread::new(ours).write_all(&[0; 256]).await });
            for _ in 0..16 {
                sleep(WRITE_TIMEOUT / 2).await;
                theirs.read_exact(&mut [0; 16]).await.unwrap();
            }
            written.await.unwrap().unwrap();
        });
    }
}
