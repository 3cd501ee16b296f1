//! Must show: valid variations pass, and each class of fault is found where it was put, and nothing else.
use super::draw::Draw;
use super::faults::classes;
use super::valid::{Section, draw_doc, render};
use crate::config::{Source, parse};
use std::collections::BTreeSet;

fn numbered(sources: &[Source]) -> String {
    let mut text = String::new();
    for source in sources {
        text += &format!("--- {}\n", source.name.display());
        for (n, line) in source.text.lines().enumerate() {
            text += &format!("{:3} {line}\n", n + 1);
        }
    }
    text
}

#[test]
fn valid_variations_pass() {
    let mut different = BTreeSet::new();
    for seed in 0..300 {
        let mut draw = Draw::new(seed);
        let doc = draw_doc(&mut draw);
        let (sources, _) = render(&mut draw, &doc);
        let config = parse(&sources, &doc.fake)
            .unwrap_or_else(|errors| panic!("seed {seed}:\n{errors}\n{}", numbered(&sources)));
        let connections = doc.sections.iter().filter(|s| s.path[0] == "connections" && s.path.len() == 2).count();
        let children = doc.sections.iter().map(Section::children).sum::<usize>();
        assert_eq!(config.connections.len(), connections, "seed {seed}");
        assert_eq!(config.connections.iter().map(|c| c.children.len()).sum::<usize>(), children, "seed {seed}");
        different.insert(numbered(&sources));
    }
    assert_eq!(different.len(), 300);
}

#[test]
fn each_class_of_fault_is_found_where_it_was_put() {
    assert!(classes().len() >= 30);
    let mut wrong = Vec::new();
    for (n, class) in classes().iter().enumerate() {
        let mut different = BTreeSet::new();
        for place in 0..10 {
            let seed = 1_000_000 + n as u64 * 1000 + place;
            let mut draw = Draw::new(seed);
            let mut doc = draw_doc(&mut draw);
            class.inject(&mut draw, &mut doc);
            let (sources, mark) = render(&mut draw, &doc);
            different.insert(numbered(&sources));
            let (file, line) = mark.unwrap_or_else(|| panic!("{}: a fault has a place", class.name));
            let found = parse(&sources, &doc.fake).err();
            let right = found.as_ref().is_some_and(|errors| match &errors.0[..] {
                [error] => {
                    (error.code, &error.file, error.line) == (class.code, &sources[file].name, line)
                        && !error.hint.is_empty()
                        && !error.message.is_empty()
                        && error.column > 0
                }
                _ => false,
            });
            if !right {
                let found = found.map_or("nothing".into(), |errors| errors.to_string());
                let expected = format!("{} (seed {seed}): {} in file {file} at {line}", class.name, class.code);
                wrong.push(format!("{expected}, but found:\n{found}"));
            }
        }
        assert_eq!(different.len(), 10, "{}", class.name);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), classes().len() * 10, wrong.join("\n\n"));
}
