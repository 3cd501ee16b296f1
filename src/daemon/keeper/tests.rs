//! The keeper with a real folder, and an engine that says yes or no.
mod secrets;

use super::change::draft;
use super::deadline::Moment;
use super::port::Port;
use super::*;
use crate::control::config::{Applied, Revisions};
use crate::control::request::Adopted;
use crate::control::types::Status;
use crate::daemon::store::disk::Folders;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

thread_local! {
    /// Seconds since boot and since 1970; one moment for each test, whose thread is its own.
    static NOW: Cell<u64> = const { Cell::new(1000) };
}
fn now() -> Moment {
    Moment { boot: Duration::from_secs(NOW.get()), unix: 1_000_000 + NOW.get(), boot_id: "boot".into() }
}

/// What the engine was told.
#[derive(Debug, Default)]
struct Told {
    adopted: Vec<Vec<String>>,
    news: Vec<(&'static str, Option<u64>)>,
    notes: Vec<String>,
    status: Arc<Status>,
    refuse: bool,
}
#[derive(Clone, Debug, Default)]
struct Engine(Arc<Mutex<Told>>);
impl Port for Engine {
    fn adopt(&mut self, config: Config, _: plan::Plan) -> Result<Adopted, String> {
        let mut told = self.0.lock().unwrap();
        if told.refuse {
            return Err("no room in the table".into());
        }
        told.adopted.push(config.connections.iter().map(|connection| connection.name.to_string()).collect());
        Ok(Adopted::default())
    }
    fn status(&self) -> Option<Arc<Status>> {
        Some(self.0.lock().unwrap().status.clone())
    }
    fn tell(&self, news: News) {
        let mut told = self.0.lock().unwrap();
        told.news.push((news.event, news.revision));
        told.notes = news.notes;
    }
}

struct Lab {
    folder: tempfile::TempDir,
    engine: Engine,
}
impl Lab {
    fn new(files: &str) -> Self {
        let lab = Self { folder: tempfile::tempdir().unwrap(), engine: Engine::default() };
        lab.write(files);
        lab
    }
    fn file(&self) -> PathBuf {
        self.folder.path().join("sandhog.toml")
    }
    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }
    fn write(&self, connections: &str) {
        let text = format!("[gateway]\nstate_dir = \"{}\"\n{connections}", self.state().display());
        std::fs::write(self.file(), text).unwrap();
        // There are secrets in it.
        std::fs::set_permissions(self.file(), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    /// A start, as if after kill -9.
    fn start(&self) -> Keeper {
        let begun = self.begin().unwrap_or_else(|error| panic!("{error:?}"));
        let mut keeper = begun.keeper();
        keeper.port = Box::new(self.engine.clone());
        keeper
    }
    fn begin(&self) -> Result<Begun, NoStart> {
        begin_at(&self.file(), false, now)
    }
    /// Why there is none.
    fn no_start(&self) -> String {
        match self.begin() {
            Err(NoStart::Sentence(sentence)) => sentence,
            other => panic!("{other:?}"),
        }
    }
    /// What has this in it is not among the secrets any more.
    fn lose(&self, text: &str) {
        for entry in std::fs::read_dir(self.state().join("secrets")).unwrap() {
            let path = entry.unwrap().path();
            if std::fs::read_to_string(&path).unwrap().contains(text) {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.engine.0.lock().unwrap()
    }
}

fn connection(name: &str, net: u8) -> String {
    format!(
        "[connections.{name}]\nremote_addrs = [\"192.0.2.{net}\"]\nlocal = {{ auth = \"psk\", id = \"us\" }}\n\
         remote = {{ auth = \"psk\", id = \"{name}\" }}\n[connections.{name}.children.lan]\nlocal_ts = [\"10.1.0.0/16\"]\n\
         remote_ts = [\"10.{net}.0.0/16\"]\n[secrets.{name}]\nid = [\"{name}\"]\nsecret = \"{}\"\n",
        secret(name)
    )
}
fn secret(name: &str) -> String {
    format!("hush-{name}-correct-horse-battery")
}
fn json(names: &[(&str, u8)]) -> From {
    let (mut connections, mut secrets) = (serde_json::Map::new(), serde_json::Map::new());
    for (name, net) in names {
        connections.insert(
            (*name).into(),
            serde_json::json!({
                "remote_addrs": [format!("192.0.2.{net}")], "local": { "auth": "psk", "id": "us" }, "remote": { "auth": "psk", "id": name },
                "children": { "lan": { "local_ts": ["10.1.0.0/16"], "remote_ts": [format!("10.{net}.0.0/16")] } }
            }),
        );
        secrets.insert((*name).into(), serde_json::json!({ "id": [name], "secret": secret(name) }));
    }
    let text = serde_json::json!({ "connections": connections, "secrets": secrets }).to_string();
    From::Document(Secret::new(text.into_bytes()))
}
fn terms(confirm: Option<u64>) -> Terms {
    Terms { confirm, admin: true, who: Who { uid: Some(0), pid: Some(7) }, base: None }
}
fn names(keeper: &Keeper) -> Vec<String> {
    keeper.in_force.config.connections.iter().map(|connection| connection.name.to_string()).collect()
}
fn numbers(revisions: &Revisions) -> Vec<u64> {
    revisions.revisions.iter().map(|revision| revision.number).collect()
}
fn code(done: Result<Applied, Problem>) -> String {
    done.map_or_else(|problem| problem.code, |_| "done".into())
}

#[test]
fn what_the_api_puts_stands_beside_the_files_and_is_there_after_a_start() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    let applied = keeper.apply_from(json(&[("b", 3)]), &terms(None)).unwrap();
    assert_eq!((applied.revision, applied.confirm_until), (Some(2), None));
    assert_eq!(lab.told().adopted, [["a", "b"]]);
    assert_eq!(lab.told().news, [("config.applied", Some(2))]);
    let etag = keeper.in_force.etag.clone();
    drop(keeper);
    let mut keeper = lab.start();
    assert_eq!((names(&keeper), &keeper.in_force.etag), (vec!["a".to_owned(), "b".into()], &etag));
    assert_eq!(numbers(&keeper.revisions()), [2, 1], "a start that changes nothing is no revision");
    assert!(keeper.notes().is_empty());
    // A whole document without it takes it away.
    keeper.apply_from(json(&[]), &terms(None)).unwrap();
    assert_eq!(names(&keeper), ["a"]);
}

#[test]
fn a_plan_changes_nothing_and_is_applied_once_and_only_to_what_it_was_made_from() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    let plan = keeper.plan(json(&[("b", 3)]), true).unwrap();
    assert_eq!(
        plan.changes.iter().map(|step| step.object.as_str()).collect::<Vec<_>>(),
        ["connections.b", "secrets.b"]
    );
    assert!(lab.told().adopted.is_empty() && names(&keeper) == ["a"]);
    let other = keeper.plan(json(&[("c", 4)]), true).unwrap();
    keeper.apply_from(From::Plan(plan.plan.clone()), &terms(None)).unwrap();
    assert_eq!((names(&keeper), &keeper.in_force.etag), (vec!["a".to_owned(), "b".into()], &plan.etag));
    assert_eq!(code(keeper.apply_from(From::Plan(plan.plan), &terms(None))), "plan.unknown");
    assert_eq!(code(keeper.apply_from(From::Plan(other.plan), &terms(None))), "plan.unknown");
    let old = keeper.plan(json(&[]), true).unwrap();
    NOW.set(NOW.get() + 601);
    assert_eq!(code(keeper.apply_from(From::Plan(old.plan), &terms(None))), "plan.unknown");
}

#[test]
fn a_plan_is_not_applied_when_it_would_interrupt_more_than_it_said() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    keeper.apply_from(json(&[("b", 3)]), &terms(None)).unwrap();
    let plan = keeper.plan(json(&[("b", 4)]), true).unwrap();
    assert!(plan.impact <= plan::Impact::Live, "{plan:?}");
    let up = serde_json::json!({ "connections": [ {
        "name": "b", "state": "up", "peers": [], "warnings": [], "children": [], "sas": [ {
            "id": 1, "state": "up", "local": "192.0.2.1:500", "remote": "192.0.2.3:500", "local_id": "us", "remote_id": "b", "vips": [],
            "leases": [], "spi_i": "0a", "spi_r": "0b", "initiator": true, "proposal": "aes256gcm16-prfsha384-ecp384", "nat": "none"
        } ]
    } ] });
    lab.told().status = Arc::new(serde_json::from_value(up).unwrap());
    let problem = keeper.apply_from(From::Plan(plan.plan), &terms(None)).unwrap_err();
    assert_eq!((problem.status, problem.code.as_str()), (412, "config.moved"));
    let plan = keeper.plan(json(&[("b", 4)]), true).unwrap();
    let touched: Vec<_> = plan.changes.iter().flat_map(|step| &step.sas).map(|sa| sa.spi.as_str()).collect();
    assert!(plan.impact > plan::Impact::Live && touched.contains(&"0a"), "{plan:?}");
    keeper.apply_from(From::Plan(plan.plan), &terms(None)).unwrap();
}

#[test]
fn a_plan_of_files_is_not_applied_when_they_say_something_else_by_then() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    lab.write(&format!("{}{}", connection("a", 2), connection("z", 9)));
    let plan = keeper.plan(From::Files, true).unwrap().plan;
    lab.write(&connection("a", 2));
    let problem = keeper.apply_from(From::Plan(plan), &terms(None)).unwrap_err();
    assert_eq!((problem.status, problem.code.as_str()), (412, "config.moved"));
    assert_eq!(names(&keeper), ["a"]);
    lab.write(&connection("y", 8));
    let plan = keeper.plan(From::Files, true).unwrap().plan;
    keeper.apply_from(From::Plan(plan), &terms(None)).unwrap();
    assert_eq!(names(&keeper), ["y"]);
}

#[test]
fn of_two_writers_one_is_refused() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    let seen = Terms { base: Some(format!("\"{}\"", keeper.in_force.etag)), ..terms(None) };
    keeper.apply_from(json(&[("b", 3)]), &seen).unwrap();
    let problem = keeper.apply_from(json(&[("c", 4)]), &seen).unwrap_err();
    assert_eq!((problem.status, problem.code.as_str()), (412, "config.moved"));
    assert_eq!(names(&keeper), ["a", "b"]);
}

#[test]
fn what_nobody_confirms_is_undone() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    let applied = keeper.apply_from(json(&[("b", 3)]), &terms(Some(60))).unwrap();
    assert!(applied.confirm_until.is_some() && lab.told().notes[0].contains("sandhog confirm"));
    assert_eq!(code(keeper.apply_from(json(&[]), &terms(None))), "config.pending");
    NOW.set(NOW.get() + 59);
    keeper.tick();
    assert_eq!(names(&keeper), ["a", "b"]);
    NOW.set(NOW.get() + 1);
    keeper.tick();
    assert_eq!(names(&keeper), ["a"]);
    assert_eq!(lab.told().adopted.last().unwrap(), &["a"]);
    assert_eq!(lab.told().news.last(), Some(&("config.rolled_back", Some(2))));
    assert!(lab.told().notes.is_empty());
    let list = keeper.revisions();
    assert_eq!(
        list.revisions.iter().map(|r| (r.in_force, r.undone)).collect::<Vec<_>>(),
        [(false, true), (true, false)]
    );
    assert_eq!(code(keeper.confirm(Who::default())), "config.not_pending");
    keeper.apply_from(json(&[("c", 4)]), &terms(None)).unwrap();
}

#[test]
fn what_is_confirmed_stays() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    keeper.apply_from(json(&[("b", 3)]), &terms(Some(60))).unwrap();
    keeper.confirm(Who::default()).unwrap();
    NOW.set(NOW.get() + 600);
    keeper.tick();
    assert_eq!(names(&keeper), ["a", "b"]);
    drop(keeper);
    assert_eq!(names(&lab.start()), ["a", "b"]);
}

#[test]
fn a_limit_goes_on_over_a_start_and_one_that_has_passed_is_honoured_by_it() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    keeper.apply_from(json(&[("b", 3)]), &terms(Some(60))).unwrap();
    drop(keeper);
    NOW.set(NOW.get() + 30);
    let keeper = lab.start();
    assert_eq!((names(&keeper), keeper.pending().is_some()), (vec!["a".to_owned(), "b".into()], true));
    drop(keeper);
    NOW.set(NOW.get() + 29);
    let mut keeper = lab.start();
    NOW.set(NOW.get() + 1);
    // What comes back is on the disk only.
    keeper.tick();
    assert_eq!((names(&keeper), keeper.pending().is_some()), (vec!["a".to_owned()], false));
    keeper.apply_from(json(&[("b", 3)]), &terms(Some(60))).unwrap();
    drop(keeper);
    NOW.set(NOW.get() + 61);
    let begun = lab.begin().unwrap();
    assert_eq!(begun.undone(), Some((3, 1)));
    assert_eq!(names(&begun.keeper()), ["a"]);
}

/// The file says what cuts the operator off, and goes on saying it.
#[test]
fn files_that_are_undone_stay_undone_over_a_start_until_somebody_edits_them() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    lab.write(&connection("z", 9));
    keeper.apply_from(From::Files, &terms(Some(60))).unwrap();
    assert_eq!(names(&keeper), ["z"]);
    NOW.set(NOW.get() + 60);
    keeper.tick();
    assert_eq!(names(&keeper), ["a"]);
    assert!(lab.told().notes[0].contains("not what the files say"), "{:?}", lab.told().notes);
    drop(keeper);
    let mut keeper = lab.start();
    assert_eq!((names(&keeper), keeper.notes().len()), (vec!["a".to_owned()], 1));
    keeper.apply_from(From::Files, &terms(None)).unwrap();
    assert_eq!((names(&keeper), keeper.notes().len()), (vec!["z".to_owned()], 0));
    drop(keeper);
    lab.write(&connection("y", 8));
    assert_eq!(names(&lab.start()), ["y"], "edited while nobody was looking");
}

#[test]
fn the_figure_is_the_revision_in_force_whatever_became_of_others() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    fn shown(keeper: &mut Keeper) -> u64 {
        keeper.tick();
        keeper.meter.get(Figure::ConfigRevision)
    }
    assert_eq!(shown(&mut keeper), 1);
    keeper.apply_from(json(&[("b", 3)]), &terms(Some(60))).unwrap();
    assert_eq!(shown(&mut keeper), 2, "until it is undone");
    NOW.set(NOW.get() + 60);
    assert_eq!(shown(&mut keeper), 1);
    keeper.apply_from(json(&[("c", 4)]), &terms(None)).unwrap();
    keeper.rollback(Some(1), &terms(None)).unwrap();
    assert_eq!(shown(&mut keeper), 4, "brought back it is another one");
    lab.told().refuse = true;
    assert_eq!(code(keeper.apply_from(json(&[("d", 5)]), &terms(None))), "config.refused");
    assert_eq!(shown(&mut keeper), 4);
    // One that takes over sees what is in force before it has opened anything.
    assert_eq!(begin_at(&lab.file(), true, now).unwrap().revision(), Some(4));
    drop(keeper);
    assert_eq!(lab.begin().unwrap().revision(), Some(4));
}

#[test]
fn an_engine_that_refuses_leaves_what_was() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    lab.told().refuse = true;
    let problem = keeper.apply_from(json(&[("b", 3)]), &terms(Some(60))).unwrap_err();
    assert_eq!((problem.status, problem.code.as_str()), (409, "config.refused"));
    assert!(problem.detail.contains("no room in the table"));
    assert_eq!(lab.told().news, [("config.refused", Some(2))]);
    assert_eq!((names(&keeper), keeper.pending().is_some()), (vec!["a".to_owned()], false));
    drop(keeper);
    assert_eq!(names(&lab.start()), ["a"]);
}

#[test]
fn rolling_back_goes_to_the_one_before_or_to_any() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    assert_eq!(code(keeper.rollback(None, &terms(None))), "revision.none");
    keeper.apply_from(json(&[("b", 3)]), &terms(None)).unwrap();
    keeper.apply_from(json(&[("b", 3), ("c", 4)]), &terms(None)).unwrap();
    assert_eq!(keeper.rollback(None, &terms(None)).unwrap().revision, Some(4));
    assert_eq!(names(&keeper), ["a", "b"]);
    keeper.rollback(None, &terms(None)).unwrap();
    assert_eq!(names(&keeper), ["a"]);
    keeper.rollback(Some(3), &terms(Some(60))).unwrap();
    assert_eq!((names(&keeper).len(), keeper.pending().is_some()), (3, true));
    keeper.rollback(None, &terms(None)).unwrap();
    assert_eq!((names(&keeper), keeper.pending().is_some()), (vec!["a".to_owned()], false), "undone at once");
    assert_eq!(code(keeper.rollback(Some(99), &terms(None))), "revision.unknown");
}

#[test]
fn one_object_is_put_and_removed_without_the_others() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    let object = |kind, name: &str| Object { kind, name: name.into() };
    let secret = Secret::new(br#"{"id": ["b"], "secret": "correct horse battery staple"}"#.to_vec());
    keeper.put_object(&object(Kind::Secret, "b"), &secret, &terms(None)).unwrap();
    assert_eq!(keeper.has_secret("b".into()).unwrap().file, None);
    assert!(keeper.has_secret("a".into()).unwrap().file.unwrap().ends_with("sandhog.toml"));
    assert_eq!(keeper.has_secret("x".into()).unwrap_err().code, "secret.unknown");
    assert_eq!(code(keeper.delete_object(&object(Kind::Secret, "a"), &terms(None))), "owner.file");
    assert_eq!(code(keeper.delete_object(&object(Kind::Connection, "x"), &terms(None))), "object.unknown");
    keeper.delete_object(&object(Kind::Secret, "b"), &terms(None)).unwrap();
    let operator = Terms { admin: false, ..terms(None) };
    assert_eq!(code(keeper.put_object(&object(Kind::Secret, "b"), &secret, &operator)), "access.secret");
    keeper.apply_from(From::Files, &operator).unwrap();
}

#[test]
fn what_is_wrong_is_refused_with_its_place_and_changes_nothing() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    let document = |text: &str| From::Document(Secret::new(text.as_bytes().to_vec()));
    for (text, status, code) in [
        (r#"{"connections": {"b": "#, 400, "json.syntax"),
        (r#"{"connections": {"b": {"remote_adrs": []}}}"#, 422, "key.unknown"),
        (
            r#"{"connections": {"b": {"remote_addrs": ["192.0.2.9"], "local": {"auth": "pubkey", "certs": ["/etc/x"]}}}}"#,
            422,
            "owner.path",
        ),
        (r#"{"secrets": {"b": {"id": ["b"], "secret": "***"}}}"#, 422, "secret.redacted"),
        (r#"{"connections": {"a": {}}}"#, 409, "owner.file"),
        (r#"{"gateway": {"workers": 3}}"#, 409, "owner.file"),
    ] {
        let problem = keeper.apply_from(document(text), &terms(None)).unwrap_err();
        let findings = problem.findings.map(|findings| findings.0).unwrap_or_default();
        let listed = findings.iter().any(|finding| finding.code == code);
        assert!(problem.status == status && listed, "{text}: {} {findings:?}", problem.status);
    }
    lab.write("[connections.a]\nremote_adrs = 1\n");
    let problem = keeper.plan(From::Files, true).unwrap_err();
    let findings = problem.findings.unwrap().0;
    assert!(findings.iter().any(|finding| (finding.line, finding.code.as_str()) == (4, "key.unknown")), "{findings:?}");
    keeper.reload();
    assert_eq!(lab.told().news.last(), Some(&("config.refused", None)));
    assert_eq!(names(&keeper), ["a"]);
}

#[test]
fn no_secret_lies_anywhere_but_among_the_secrets() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    keeper.apply_from(json(&[("b", 3)]), &terms(None)).unwrap();
    assert!(!String::from_utf8(keeper.shown().document).unwrap().contains("hush"));
    let mut found = BTreeSet::new();
    let mut walk = vec![lab.state()];
    while let Some(path) = walk.pop() {
        if path.is_dir() {
            walk.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains("hush") {
            found.insert(path.parent().unwrap().file_name().unwrap().to_owned());
        }
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["secrets"]);
}

#[test]
fn without_a_place_for_revisions_the_files_are_still_read() {
    let lab = Lab::new(&connection("a", 2));
    std::fs::write(lab.state(), "in the way").unwrap();
    let mut keeper = lab.start();
    assert!(keeper.notes()[0].contains("no revisions are kept"));
    assert_eq!(code(keeper.apply_from(json(&[("b", 3)]), &terms(None))), "store.unavailable");
    assert_eq!(code(keeper.apply_from(From::Files, &terms(Some(60)))), "store.unavailable");
    lab.write(&connection("z", 9));
    assert_eq!(keeper.apply_from(From::Files, &terms(None)).unwrap().revision, None);
    assert_eq!(names(&keeper), ["z"]);
    // It comes back.
    std::fs::remove_file(lab.state()).unwrap();
    keeper.apply_from(json(&[("b", 3)]), &terms(Some(60))).unwrap();
    assert!(names(&keeper).len() == 2 && keeper.pending().is_some());
}

/// A program that another test is just starting has all that is open here, the lock among it, for a moment.
const LOOKS: u32 = 100_000;
fn succeed(heir: &mut Keeper) {
    let opened = (0..LOOKS).any(|_| {
        heir.tick();
        heir.store.is_some()
    });
    assert!(opened, "nobody has it");
}

/// An upgrade: the new daemon begins while the old one has everything open.
#[test]
fn an_heir_looks_and_takes_over_when_the_other_has_gone() {
    let lab = Lab::new(&connection("a", 2));
    let mut old = lab.start();
    old.apply_from(json(&[("b", 3)]), &terms(Some(60))).unwrap();
    let mut heir = begin_at(&lab.file(), true, now).unwrap().keeper();
    heir.port = Box::new(lab.engine.clone());
    assert_eq!((names(&heir), heir.in_force.etag == old.in_force.etag), (vec!["a".to_owned(), "b".into()], true));
    heir.tick();
    assert!(heir.store.is_none() && heir.notes().is_empty());
    assert_eq!(code(heir.apply_from(json(&[]), &terms(None))), "store.unavailable");
    assert_eq!(code(heir.confirm(Who::default())), "store.unavailable", "nobody knows yet what waits");
    heir.again = AGAIN;
    heir.tick();
    assert!(heir.notes()[0].contains("another sandhogd has it"), "it had time enough");
    drop(old);
    succeed(&mut heir);
    assert!(heir.pending().is_some());
    NOW.set(NOW.get() + 60);
    heir.tick();
    assert_eq!(names(&heir), ["a"]);
}

/// What the API has put would be gone.
#[test]
fn an_heir_that_cannot_read_the_store_takes_nothing_over() {
    let lab = Lab::new(&connection("a", 2));
    let none_yet = begin_at(&lab.file(), true, now);
    assert!(none_yet.is_ok(), "{none_yet:?}");
    drop(lab.start());
    std::fs::set_permissions(lab.state(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    match begin_at(&lab.file(), true, now) {
        Err(NoStart::Sentence(sentence)) => assert!(sentence.contains("others may write in it"), "{sentence}"),
        other => panic!("{other:?}"),
    }
}

/// An order is answered by what is on the disk, as soon as that can be had.
#[test]
fn an_heir_opens_the_store_before_it_answers() {
    let lab = Lab::new(&connection("a", 2));
    let mut old = lab.start();
    old.apply_from(json(&[("b", 3)]), &terms(Some(60))).unwrap();
    let mut heir = begin_at(&lab.file(), true, now).unwrap().keeper();
    heir.port = Box::new(lab.engine.clone());
    assert_eq!(heir.wait(), SOON);
    drop(old);
    let mut confirm = || {
        let (reply, answer) = tokio::sync::oneshot::channel();
        heir.handle(Order::Confirm { who: Who::default(), reply });
        answer.blocking_recv().unwrap().is_ok()
    };
    assert!((0..LOOKS).any(|_| confirm()));
}

#[test]
fn a_newer_version_is_not_touched() {
    let lab = Lab::new(&connection("a", 2));
    drop(lab.start());
    std::fs::write(lab.state().join("format"), "2\n").unwrap();
    match lab.begin() {
        Err(NoStart::Sentence(sentence)) => assert!(sentence.contains("newer Sandhog"), "{sentence}"),
        other => panic!("{other:?}"),
    }
    assert!(lab.state().join("revisions/1").exists());
}

#[test]
fn a_revision_of_a_newer_version_cannot_be_brought_back() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    keeper.apply_from(json(&[("b", 3)]), &terms(None)).unwrap();
    drop(keeper);
    std::fs::write(lab.state().join("revisions/1"), "sandhog-revision 2 x\nwhatever").unwrap();
    let mut keeper = lab.start();
    let problem = keeper.rollback(Some(1), &terms(None)).unwrap_err();
    assert!(problem.code == "revision.unusable" && problem.detail.contains("newer Sandhog"), "{problem:?}");
    assert_eq!(names(&keeper), ["a", "b"]);
}

#[test]
fn a_draft_holds_references() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    keeper.apply_from(json(&[("b", 3)]), &terms(None)).unwrap();
    let store = keeper.store.as_ref().unwrap();
    let draft = draft(store, &keeper.in_force, 1, Who::default(), "x", None);
    assert!(draft.document.contains("***") && !draft.document.contains("hush"), "{}", draft.document);
    assert_eq!(draft.secrets.len(), 2, "the file's text and the secret of the API");
    assert!(Folders::open(Path::new(&lab.state())).is_err(), "it has one user");
}

/// Undo and rollback need all of it back.
#[test]
fn a_file_of_three_mib_comes_back() {
    let lab = Lab::new("");
    let large = |name: &str, net: u8| format!("{}# {}\n", connection(name, net), "x".repeat(3 << 20));
    lab.write(&large("a", 2));
    let mut keeper = lab.start();
    lab.write(&large("z", 9));
    keeper.apply_from(From::Files, &terms(Some(60))).unwrap();
    drop(keeper);
    NOW.set(NOW.get() + 30);
    let mut keeper = lab.start();
    NOW.set(NOW.get() + 30);
    // What was before is on the disk only.
    keeper.tick();
    assert_eq!(names(&keeper), ["a"]);
    drop(keeper);
    let mut keeper = lab.start();
    assert_eq!(names(&keeper), ["a"], "and not the files that were undone");
    keeper.apply_from(From::Files, &terms(None)).unwrap();
    keeper.rollback(None, &terms(None)).unwrap();
    assert_eq!(names(&keeper), ["a"]);
    lab.write(&format!("{}# {}\n", connection("y", 8), "x".repeat(16 << 20)));
    let problem = keeper.apply_from(From::Files, &terms(None)).unwrap_err();
    assert!(problem.detail.contains("larger than 16 MiB"), "{problem:?}");
    assert_eq!((names(&keeper), numbers(&keeper.revisions()).len()), (vec!["a".to_owned()], 4));
}

#[test]
fn a_damaged_revision_does_not_bring_back_files_that_were_undone() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    lab.write(&connection("b", 3));
    keeper.apply_from(From::Files, &terms(None)).unwrap();
    lab.write(&connection("z", 9));
    keeper.apply_from(From::Files, &terms(Some(60))).unwrap();
    NOW.set(NOW.get() + 60);
    keeper.tick();
    assert_eq!(names(&keeper), ["b"]);
    drop(keeper);
    lab.lose("hush-b");
    let sentence = lab.no_start();
    assert!(sentence.contains("revision 2 cannot be used") && sentence.contains("state_dir"), "{sentence}");
    lab.write(&connection("y", 8));
    assert_eq!(names(&lab.start()), ["y"], "what is edited needs nothing of it");
}

/// What is older lets in who was let in then.
#[test]
fn a_damaged_revision_has_none_before_it_in_its_place() {
    for broken in ["", "[connections.a\n"] {
        let lab = Lab::new(&connection("a", 2));
        let mut keeper = lab.start();
        keeper.apply_from(json(&[("b", 3)]), &terms(None)).unwrap();
        keeper.apply_from(json(&[("c", 4)]), &terms(None)).unwrap();
        drop(keeper);
        lab.lose("hush-c");
        if broken.is_empty() {
            assert!(lab.no_start().contains("revision 3 cannot be used"));
            lab.write(&connection("y", 8));
            assert!(lab.no_start().contains("revision 3 cannot be used"), "what the API has put is lost");
        } else {
            lab.write(broken);
            assert!(matches!(lab.begin(), Err(NoStart::Refused(_))));
        }
        std::fs::write(lab.state().join("revisions/3"), "sandh").unwrap();
        assert!(lab.no_start().contains("revision 3, the one in force, cannot be used"));
    }
}

/// A gateway that is down helps nobody to mend its files.
#[test]
fn files_that_are_refused_at_a_start_leave_the_last_revision_in_force() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    keeper.apply_from(json(&[("b", 3)]), &terms(None)).unwrap();
    drop(keeper);
    let beside = lab.folder.path().join("conf.d");
    std::fs::create_dir(&beside).unwrap();
    for (wrong, unreadable, said) in [
        ("[connections.a]\nremote_adrs = 1\n".to_owned(), false, "sandhog.toml:3: child.none"),
        ("[connections.a\n".to_owned(), false, "toml.syntax"),
        (connection("b", 7), false, "came over the API"),
        (connection("a", 2), true, "file.unreadable"),
    ] {
        lab.write(&wrong);
        if unreadable {
            std::fs::write(beside.join("x.toml"), b"# \xff").unwrap();
        }
        let keeper = lab.start();
        let notes = keeper.notes();
        assert_eq!((names(&keeper), notes.len()), (vec!["a".to_owned(), "b".into()], 1), "{wrong}: {notes:?}");
        assert!(notes[0].contains("revision 2 is in force") && notes[0].contains(said), "{notes:?}");
        assert!(!notes[0].contains("hush"), "{notes:?}");
        assert_eq!(numbers(&keeper.revisions()), [2, 1]);
    }
    std::fs::remove_dir_all(&beside).unwrap();
    // What is put meanwhile is in force in their place, and they are refused still.
    lab.write("[connections.a]\nremote_adrs = 1\n");
    let mut keeper = lab.start();
    keeper.rollback(None, &terms(None)).unwrap();
    assert!(keeper.notes()[0].contains("revision 3 is in force"), "{:?}", keeper.notes());
    keeper.apply_from(json(&[("b", 3)]), &terms(None)).unwrap();
    assert!(keeper.notes()[0].contains("revision 4 is in force"), "{:?}", keeper.notes());
    drop(keeper);
    // Mended while it runs, and before the next start.
    lab.write("[connections.a]\nremote_adrs = 1\n");
    let mut keeper = lab.start();
    lab.write(&connection("y", 8));
    keeper.apply_from(From::Files, &terms(None)).unwrap();
    assert_eq!((names(&keeper), keeper.notes()), (vec!["y".to_owned(), "b".into()], vec![]));
    drop(keeper);
    lab.write("[connections.a\n");
    assert_eq!(names(&lab.start()), ["y", "b"]);
    lab.write(&connection("z", 9));
    let keeper = lab.start();
    assert_eq!((names(&keeper), keeper.notes()), (vec!["z".to_owned(), "b".into()], vec![]));
}

#[test]
fn files_that_are_refused_are_refused_where_nothing_was_in_force_or_other_files_were() {
    let broken = "[connections.a]\nremote_adrs = 1\n";
    let lab = Lab::new(broken);
    assert!(matches!(lab.begin(), Err(NoStart::Refused(_))));
    lab.write(&connection("a", 2));
    drop(lab.start());
    lab.write(broken);
    let other = lab.folder.path().join("other.toml");
    std::fs::copy(lab.file(), &other).unwrap();
    assert!(matches!(begin_at(&other, false, now), Err(NoStart::Refused(_))));
    assert_eq!(names(&lab.start()), ["a"]);
    std::fs::remove_file(lab.file()).unwrap();
    assert!(matches!(lab.begin(), Err(NoStart::Refused(_))), "whoever took it away wants none");
}

/// There is only a guess left where what was in force lies, and what lies there was in force at some other time.
#[test]
fn files_that_are_refused_and_may_mean_another_place_than_the_default_begin_with_nothing() {
    let lab = Lab::new("");
    for wrong in [
        "[gatway]\nstate_dir = \"/data\"\n",
        "[gateway]\nstate-dir = \"/data\"\n",
        "[gateway]\nstate_dir = \"data\"\n",
        "[gateway\n",
    ] {
        std::fs::write(lab.file(), wrong).unwrap();
        assert_eq!(config::state_dir(&lab.file()), None, "{wrong}");
        for is_heir in [false, true] {
            assert!(matches!(begin_at(&lab.file(), is_heir, now), Err(NoStart::Refused(_))), "{wrong}");
        }
    }
    let place = |text: &str| {
        std::fs::write(lab.file(), text).unwrap();
        config::state_dir(&lab.file())
    };
    assert_eq!(place("[connections.a]\nremote_adrs = 1\n"), Some(config::Gateway::default().state_dir));
    assert_eq!(place("[gateway]\nstate_dir = \"/data\"\n[connections.a\n"), Some("/data".into()));
    std::fs::create_dir(lab.folder.path().join("conf.d")).unwrap();
    std::fs::write(lab.folder.path().join("conf.d/x.toml"), b"# \xff").unwrap();
    assert_eq!(place("[gateway]\nstate_dir = \"/data\"\n"), Some("/data".into()));
    assert_eq!(place("[connections.a]\nremote_adrs = 1\n"), None);
}

/// Where the daemon before is at work is compared with it.
#[test]
fn a_place_that_waits_for_a_restart_is_not_the_one_that_is_at_work() {
    let lab = Lab::new(&connection("a", 2));
    let mut old = lab.start();
    let text = std::fs::read_to_string(lab.file()).unwrap();
    let elsewhere = lab.folder.path().join("elsewhere");
    let other = text.replace(lab.state().to_str().unwrap(), elsewhere.to_str().unwrap());
    std::fs::write(lab.file(), other).unwrap();
    old.apply_from(From::Files, &terms(None)).unwrap();
    assert!(old.notes()[0].contains("wait for a restart"), "{:?}", old.notes());
    assert_eq!(begin_at(&lab.file(), true, now).unwrap().config.gateway.state_dir, elsewhere);
    std::fs::write(lab.file(), text).unwrap();
    let begun = begin_at(&lab.file(), true, now).unwrap();
    assert_eq!((&begun.config.gateway.state_dir, begun.revision()), (&lab.state(), Some(2)));
}

/// An upgrade changes the program and nothing else.
#[test]
fn an_heir_goes_on_with_what_is_in_force_and_leaves_edits_to_a_reload() {
    for edited in [connection("z", 9), "[connections.a\n".into()] {
        let lab = Lab::new(&connection("a", 2));
        let mut old = lab.start();
        old.apply_from(json(&[("b", 3)]), &terms(None)).unwrap();
        lab.write(&edited);
        let mut heir = begin_at(&lab.file(), true, now).unwrap().keeper();
        heir.port = Box::new(lab.engine.clone());
        let both = vec!["a".to_owned(), "b".into()];
        assert_eq!((names(&heir), &heir.in_force.etag), (both.clone(), &old.in_force.etag));
        assert!(heir.notes()[0].contains("not what the files say"), "{:?}", heir.notes());
        drop(old);
        succeed(&mut heir);
        assert_eq!((names(&heir), numbers(&heir.revisions())), (both, vec![2, 1]));
        if edited.contains("[connections.z]") {
            drop(heir);
            let mut keeper = lab.start();
            assert_eq!(names(&keeper), ["z", "b"], "a start takes what a reload would have taken");
            keeper.apply_from(From::Files, &terms(None)).unwrap();
        }
    }
}
