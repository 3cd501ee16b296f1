//! What the keeper wants of the engine; a test has its own.
use crate::config::Config;
use crate::config::plan::Plan;
use crate::control::request::{Adopt, Adopted, Engine, News, Request};
use crate::control::types::Status;
use crate::daemon::clock;
use std::sync::Arc;

/// The engine.
pub(super) trait Port: std::fmt::Debug + Send {
    /// Puts a configuration into force.
    ///
    /// # Errors
    /// Why nothing was changed.
    fn adopt(&mut self, config: Config, plan: Plan) -> Result<Adopted, String>;
    /// What is up, if it says so.
    fn status(&self) -> Option<Arc<Status>>;
    /// Tells what became of a configuration.
    fn tell(&self, news: News);
}
impl Port for Engine {
    fn adopt(&mut self, config: Config, plan: Plan) -> Result<Adopted, String> {
        let answer = self.ask_and_wait(|reply| Request::Adopt(Adopt { config: Box::new(config), plan, reply }));
        answer.map_err(|problem| problem.detail)?
    }
    fn status(&self) -> Option<Arc<Status>> {
        let board = self.ask_and_wait(Request::Board).ok()?;
        Some(Arc::new(board.status(clock::now())))
    }
    fn tell(&self, news: News) {
        if self.tell(Request::News(news)).is_err() {
            tracing::warn!("an event of the configuration was lost: the engine has too much to do");
        }
    }
}

/// Nobody yet.
#[derive(Debug)]
pub(super) struct Nobody;
impl Port for Nobody {
    fn adopt(&mut self, _: Config, _: Plan) -> Result<Adopted, String> {
        Err("the daemon is not yet running".into())
    }
    fn status(&self) -> Option<Arc<Status>> {
        None
    }
    fn tell(&self, _: News) {}
}
