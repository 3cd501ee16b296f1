//! The power is taken away, and the disk is full, at every single operation.
use super::disk::{Disk, Folders, Place};
use super::*;
use crate::crypto::rng::SeededRng;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

/// A file: what the disk has of it, and what the kernel has.
#[derive(Clone, Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    volatile: Vec<u8>,
}
type Names = BTreeMap<(Place, String), usize>;

/// What happens at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It fails, the next ones do not.
    Full,
    /// It fails, and everything after it.
    Cut,
}

/// A disk in memory; a write is several operations, each of which may fail.
#[derive(Clone, Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    durable: Names,
    volatile: Names,
    operations: usize,
    fault: Option<(usize, Fault)>,
    /// The power cannot have gone unnoticed while a file was written in pieces.
    gone: bool,
}
impl State {
    fn step(&mut self) -> io::Result<()> {
        if self.gone {
            return Err(ErrorKind::NotConnected.into());
        }
        let at = self.operations;
        self.operations += 1;
        match self.fault {
            Some((nth, Fault::Full)) if nth == at => Err(ErrorKind::StorageFull.into()),
            Some((nth, Fault::Cut)) if nth == at => {
                self.gone = true;
                Err(ErrorKind::NotConnected.into())
            }
            _ => Ok(()),
        }
    }
}

/// What a crash leaves of what was not brought to the disk.
#[derive(Clone, Copy, Debug)]
enum Left {
    /// Nothing.
    Nothing,
    /// All.
    All,
    /// The names but not the contents: why a file is synced before it is renamed.
    Names,
}

#[derive(Clone, Debug, Default)]
struct Fragile(Arc<Mutex<State>>);
impl Fragile {
    fn with(&self, nth: usize, fault: Fault) {
        let mut state = self.0.lock().unwrap();
        state.operations = 0;
        state.fault = Some((nth, fault));
    }
    fn operations(&self) -> usize {
        self.0.lock().unwrap().operations
    }
    /// The machine starts again.
    fn restarted(&self, left: Left) -> Self {
        let mut state = self.0.lock().unwrap().clone();
        (state.fault, state.operations, state.gone) = (None, 0, false);
        match left {
            Left::Nothing => state.volatile = state.durable.clone(),
            Left::All | Left::Names => state.durable = state.volatile.clone(),
        }
        for inode in &mut state.inodes {
            match left {
                Left::All => inode.durable = inode.volatile.clone(),
                Left::Nothing | Left::Names => inode.volatile = inode.durable.clone(),
            }
        }
        Self(Arc::new(Mutex::new(state)))
    }
    fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().unwrap().clone())))
    }
    fn named(&self, place: Place) -> Vec<String> {
        let state = self.0.lock().unwrap();
        state.volatile.keys().filter(|(p, _)| *p == place).map(|(_, name)| name.clone()).collect()
    }
}
impl Disk for Fragile {
    fn names(&self, place: Place) -> io::Result<Vec<String>> {
        Ok(self.named(place))
    }
    fn read(&self, place: Place, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        let state = self.0.lock().unwrap();
        let found = state.volatile.get(&(place, name.to_owned())).map(|inode| state.inodes[*inode].volatile.clone());
        if found.as_ref().is_some_and(|octets| octets.len() as u64 > most) {
            return Err(io::Error::other("too large"));
        }
        Ok(found)
    }
    fn size(&self, place: Place, name: &str) -> io::Result<Option<u64>> {
        Ok(self.read(place, name, u64::MAX)?.map(|octets| octets.len() as u64))
    }
    fn create(&mut self, place: Place, name: &str, octets: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.step()?;
        let key = (place, name.to_owned());
        if state.volatile.contains_key(&key) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.volatile.insert(key, inode);
        let halves = octets.split_at(octets.len() / 2);
        for half in [halves.0, halves.1] {
            state.step()?;
            state.inodes[inode].volatile.extend_from_slice(half);
        }
        state.step()?;
        state.inodes[inode].durable = state.inodes[inode].volatile.clone();
        Ok(())
    }
    fn rename(&mut self, place: Place, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.step()?;
        let inode = state.volatile.remove(&(place, from.to_owned())).ok_or(ErrorKind::NotFound)?;
        state.volatile.insert((place, to.to_owned()), inode);
        Ok(())
    }
    fn remove(&mut self, place: Place, name: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.step()?;
        state.volatile.remove(&(place, name.to_owned()));
        Ok(())
    }
    fn sync(&mut self, place: Place) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.step()?;
        state.durable.retain(|(p, _), _| *p != place);
        let now: Vec<_> = state.volatile.iter().filter(|((p, _), _)| *p == place).collect();
        let now: Names = now.into_iter().map(|(key, inode)| (key.clone(), *inode)).collect();
        state.durable.extend(now);
        Ok(())
    }
}

fn open(disk: &Fragile) -> Result<Store, Error> {
    Store::open(Box::new(disk.clone()), &mut SeededRng::new(7))
}

fn draft(document: &str) -> Draft {
    Draft {
        time: 1,
        who: Who { uid: Some(0), pid: Some(1) },
        what: "apply".into(),
        digest: format!("digest of {document}"),
        files: "files".into(),
        restores: None,
        document: document.into(),
        secrets: vec![Secret::new(format!("secret of {document}").into_bytes())],
    }
}

fn pending(previous: u64) -> Pending {
    Pending { previous, unix: 100, boot: 100_000, boot_id: "boot".into() }
}

/// The document in force with its secret, or nothing.
fn in_force(store: &Store) -> Option<String> {
    let meta = store.current()?;
    let document = store.document(meta.number).unwrap();
    for reference in &meta.secrets {
        let secret = store.secret(reference).unwrap();
        assert_eq!(secret.expose(), format!("secret of {document}").as_bytes(), "a document with another's secret");
    }
    assert_eq!(meta.secrets.len(), 1);
    Some(document)
}

#[test]
fn what_was_committed_is_in_force_after_a_start() {
    let disk = Fragile::default();
    let mut store = open(&disk).unwrap();
    assert_eq!((store.current(), store.previous()), (None, None));
    assert_eq!(store.commit(draft("one"), None).unwrap(), 1);
    assert_eq!(store.commit(draft("two"), Some(pending(1))).unwrap(), 2);
    let store = open(&disk.restarted(Left::Nothing)).unwrap();
    assert_eq!(in_force(&store).as_deref(), Some("two"));
    assert_eq!((store.pending(), store.previous(), store.files()), (Some(&pending(1)), Some(1), "files"));
    assert!(store.warnings.is_empty(), "{:?}", store.warnings);
    let list: Vec<_> = store.revisions().map(|(meta, undone)| (meta.number, undone)).collect();
    assert_eq!(list, [(2, false), (1, false)]);
}

#[test]
fn the_key_stays_and_names_secrets() {
    let disk = Fragile::default();
    let store = open(&disk).unwrap();
    let (secret, key) = (Secret::new(b"hush".to_vec()), store.key().expose().to_vec());
    let reference = store.reference(&secret);
    let again = Store::open(Box::new(disk.clone()), &mut SeededRng::new(8)).unwrap();
    assert_eq!((again.key().expose(), again.reference(&secret)), (&key[..], reference.clone()));
    let other = Store::open(Box::new(Fragile::default()), &mut SeededRng::new(8)).unwrap();
    assert_ne!(other.reference(&secret), reference);
}

#[test]
fn what_is_kept_is_read_back_and_what_would_not_be_is_not_kept() {
    let disk = Fragile::default();
    let mut store = open(&disk).unwrap();
    let of = |octets: u64| Secret::new(vec![b'#'; usize::try_from(octets).unwrap()]);
    for octets in [3 << 20, LARGEST_SECRET] {
        let number = store.commit(Draft { secrets: vec![of(octets)], ..draft("large") }, None).unwrap();
        let store = open(&disk.restarted(Left::Nothing)).unwrap();
        let meta = store.current().unwrap();
        assert_eq!(meta.number, number);
        assert_eq!(store.secret(meta.secrets.first().unwrap()).unwrap().len() as u64, octets);
    }
    let (before, names) = (store.current().cloned(), disk.named(Place::Secrets));
    let small = Secret::new(b"small".to_vec());
    let refused = store.commit(Draft { secrets: vec![small, of(LARGEST_SECRET + 1)], ..draft("x") }, None).unwrap_err();
    assert!(matches!(refused, Error::Large { .. }) && refused.to_string().contains("at most 16777216"), "{refused}");
    assert_eq!((store.current().cloned(), disk.named(Place::Secrets)), (before, names), "nothing was begun");
}

#[test]
fn a_secret_that_was_damaged_is_written_again() {
    let disk = Fragile::default();
    let mut store = open(&disk).unwrap();
    store.commit(draft("one"), None).unwrap();
    disk.0
        .lock()
        .unwrap()
        .inodes
        .iter_mut()
        .filter(|i| i.volatile == b"secret of one")
        .for_each(|i| i.volatile.clear());
    store.commit(draft("one"), None).unwrap();
    assert_eq!(in_force(&store).as_deref(), Some("one"));
}

/// What a step of a test does, and what may be in force when it is cut.
type Step = fn(&mut Store) -> Result<(), Error>;
const STEPS: [(&str, Step, &str); 5] = [
    ("commit", |store| store.commit(draft("three"), None).map(drop), "three"),
    ("with a time limit", |store| store.commit(draft("three"), Some(pending(2))).map(drop), "three"),
    ("confirm", Store::confirm, "two"),
    ("take back", |store| store.take_back(1, "now".into()), "one"),
    ("bring back", |store| store.commit(Draft { restores: Some(1), ..draft("one") }, None).map(drop), "one"),
];

fn prepared() -> Fragile {
    let disk = Fragile::default();
    let mut store = open(&disk).unwrap();
    store.commit(draft("one"), None).unwrap();
    store.commit(draft("two"), Some(pending(1))).unwrap();
    disk
}

#[test]
fn after_a_power_cut_there_is_the_old_revision_or_the_new_one() {
    for (name, step, new) in STEPS {
        let mut seen = BTreeSet::new();
        for nth in 0.. {
            let disk = prepared().copy();
            let mut store = open(&disk).unwrap();
            disk.with(nth, Fault::Cut);
            let done = step(&mut store);
            for left in [Left::Nothing, Left::All, Left::Names] {
                let mut store = open(&disk.restarted(left)).unwrap();
                let found = in_force(&store).unwrap();
                assert!(found == "two" || found == new, "{name} cut at {nth}, {left:?}: {found}");
                assert!(done.is_err() || found == new, "{name} cut at {nth}, {left:?}: it was promised");
                assert!(store.warnings.is_empty(), "{name} cut at {nth}, {left:?}: {:?}", store.warnings);
                // And it goes on from there.
                store.commit(draft("four"), None).unwrap();
                assert_eq!(in_force(&store).as_deref(), Some("four"));
                seen.insert(found);
            }
            if disk.operations() <= nth {
                break;
            }
        }
        assert!(seen.contains(new), "{name}");
    }
}

#[test]
fn the_first_start_may_be_cut_anywhere() {
    for nth in 0.. {
        let disk = Fragile::default();
        disk.with(nth, Fault::Cut);
        let done = open(&disk).and_then(|mut store| store.commit(draft("one"), None));
        for left in [Left::Nothing, Left::All, Left::Names] {
            let mut store = open(&disk.restarted(left)).unwrap();
            let found = store.current().is_some().then(|| in_force(&store).unwrap());
            assert!(found.is_none() && done.is_err() || found.as_deref() == Some("one"), "cut at {nth}, {left:?}");
            assert!(store.warnings.is_empty(), "cut at {nth}, {left:?}: {:?}", store.warnings);
            assert_eq!(store.commit(draft("two"), None).unwrap(), if found.is_some() { 2 } else { 1 });
        }
        if disk.operations() <= nth {
            break;
        }
    }
}

#[test]
fn a_full_disk_leaves_what_was_and_the_next_try_works() {
    for (name, step, new) in STEPS {
        for nth in 0.. {
            let disk = prepared();
            let mut store = open(&disk).unwrap();
            disk.with(nth, Fault::Full);
            let done = step(&mut store);
            let operations = disk.operations();
            disk.0.lock().unwrap().fault = None;
            assert_eq!(in_force(&store).as_deref(), Some(if done.is_ok() { new } else { "two" }), "{name} at {nth}");
            let number = store.commit(draft("four"), None).unwrap();
            assert_eq!(in_force(&store).as_deref(), Some("four"));
            let again = open(&disk.restarted(Left::Nothing)).unwrap();
            assert_eq!((in_force(&again).as_deref(), again.current().unwrap().number), (Some("four"), number));
            assert!(again.warnings.is_empty(), "{name} at {nth}: {:?}", again.warnings);
            if operations <= nth {
                break;
            }
        }
    }
}

#[test]
fn what_was_taken_back_is_gone_back_over() {
    let disk = prepared();
    let mut store = open(&disk).unwrap();
    store.take_back(1, "now".into()).unwrap();
    assert_eq!((in_force(&store).as_deref(), store.pending(), store.files()), (Some("one"), None, "now"));
    assert_eq!(store.commit(draft("three"), None).unwrap(), 3);
    assert_eq!(store.previous(), Some(1), "never to what was not confirmed");
    let undone: Vec<_> = store.revisions().map(|(meta, undone)| (meta.number, undone)).collect();
    assert_eq!(undone, [(3, false), (2, true), (1, false)]);
}

#[test]
fn going_back_twice_goes_back_further() {
    let mut store = open(&Fragile::default()).unwrap();
    for document in ["one", "two", "three"] {
        store.commit(draft(document), None).unwrap();
    }
    assert_eq!(store.previous(), Some(2));
    store.commit(Draft { restores: Some(2), ..draft("two") }, None).unwrap();
    assert_eq!(store.previous(), Some(1));
    store.commit(Draft { restores: Some(1), ..draft("one") }, None).unwrap();
    assert_eq!(store.previous(), None);
}

#[test]
fn going_back_goes_to_something_else() {
    let mut store = open(&Fragile::default()).unwrap();
    for document in ["one", "two", "two"] {
        store.commit(draft(document), None).unwrap();
    }
    assert_eq!(store.previous(), Some(1));
}

#[test]
fn old_revisions_go_and_their_secrets_with_them() {
    let disk = Fragile::default();
    let mut store = open(&disk).unwrap();
    for n in 0..60 {
        store.commit(draft(&n.to_string()), None).unwrap();
    }
    assert_eq!((disk.named(Place::Revisions).len(), disk.named(Place::Secrets).len()), (KEPT, KEPT));
    assert!(matches!(store.document(10), Err(Error::Missing(10))));
    assert_eq!(store.document(11).unwrap(), "10");
    let again = open(&disk.restarted(Left::Nothing)).unwrap();
    assert_eq!(again.revisions().count(), KEPT);
}

#[test]
fn what_revisions_refer_to_counts_once() {
    let disk = Fragile::default();
    let mut store = open(&disk).unwrap();
    let large = |octet: u8| vec![Secret::new(vec![octet; 15 << 20])];
    for n in 0..6 {
        store.commit(Draft { secrets: large(n), ..draft(&n.to_string()) }, None).unwrap();
    }
    assert_eq!((disk.named(Place::Revisions).len(), disk.named(Place::Secrets).len()), (4, 4));
    for n in 6..16 {
        store.commit(Draft { secrets: large(5), ..draft(&n.to_string()) }, None).unwrap();
    }
    assert_eq!((disk.named(Place::Revisions).len(), disk.named(Place::Secrets).len()), (14, 4));
}

#[test]
fn a_newer_version_is_refused_and_nothing_is_lost() {
    for (place, name, octets) in [
        (Place::Top, "format", &b"2\n"[..]),
        (Place::Top, "current", b"sandhog-current 9 x\n"),
        (Place::Revisions, "2", b"sandhog-revision 2 x\nwhatever"),
    ] {
        let disk = prepared();
        let mut writer = disk.clone();
        writer.remove(place, name).unwrap();
        writer.create(place, name, octets).unwrap();
        let before = (disk.named(Place::Revisions), disk.named(Place::Secrets));
        let error = open(&disk).unwrap_err();
        assert!(matches!(error, Error::Newer { .. }) && error.to_string().contains("newer Sandhog"), "{error}");
        assert_eq!((disk.named(Place::Revisions), disk.named(Place::Secrets)), before);
    }
}

#[test]
fn an_older_revision_of_a_newer_version_keeps_its_secrets() {
    let disk = prepared();
    let mut writer = disk.clone();
    writer.remove(Place::Revisions, "1").unwrap();
    writer.create(Place::Revisions, "1", b"sandhog-revision 2 x\nwhatever").unwrap();
    let mut store = open(&disk).unwrap();
    assert_eq!(in_force(&store).as_deref(), Some("two"));
    assert!(matches!(store.document(1), Err(Error::Newer { .. })));
    store.commit(draft("three"), None).unwrap();
    assert_eq!((disk.named(Place::Revisions).len(), disk.named(Place::Secrets).len()), (3, 3));
}

#[test]
fn a_damaged_file_is_said_and_the_last_good_revision_goes_on() {
    for (place, name) in [(Place::Top, "current"), (Place::Revisions, "2"), (Place::Top, "key")] {
        let disk = prepared();
        let mut writer = disk.clone();
        writer.remove(place, name).unwrap();
        writer.create(place, name, b"sandh").unwrap();
        let store = open(&disk).unwrap();
        let expected = if place == Place::Revisions { "one" } else { "two" };
        assert_eq!(store.document(store.current().unwrap().number).unwrap(), expected, "{name}");
        assert!(!store.warnings.is_empty(), "{name}");
    }
}

/// What is older may let in who is not to come in any more.
#[test]
fn one_that_was_confirmed_has_none_in_its_place() {
    for gone in [false, true] {
        let disk = prepared();
        open(&disk).unwrap().confirm().unwrap();
        let mut writer = disk.clone();
        writer.remove(Place::Revisions, "2").unwrap();
        if !gone {
            writer.create(Place::Revisions, "2", b"sandh").unwrap();
        }
        let before = (disk.named(Place::Revisions), disk.named(Place::Secrets));
        let error = open(&disk).unwrap_err();
        assert!(matches!(error, Error::InForce { number: 2, .. }) && error.to_string().contains("backup"), "{error}");
        assert_eq!((disk.named(Place::Revisions), disk.named(Place::Secrets)), before);
    }
}

#[test]
fn on_a_real_disk_it_is_closed_and_has_one_user() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("state");
    let open = || Store::open(Box::new(Folders::open(&path).unwrap()), &mut SeededRng::new(7)).unwrap();
    let mut store = open();
    store.commit(draft("one"), None).unwrap();
    assert_eq!(Folders::open(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
    let reference = store.current().unwrap().secrets.first().unwrap().clone();
    for (name, mode) in [("", 0o700), ("key", 0o600), ("revisions/1", 0o600), ("secrets", 0o700)] {
        assert_eq!(path.join(name).metadata().unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
    assert_eq!(path.join("secrets").join(reference).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    drop(store);
    assert_eq!(in_force(&open()).as_deref(), Some("one"));
    let revision = std::fs::read_to_string(path.join("revisions/1")).unwrap();
    assert!(!revision.contains("secret of"), "{revision}");
}
