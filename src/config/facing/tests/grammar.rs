//! Command languages of routers: which words may stand where. A line is read in the view that the lines before it have opened.
use std::net::Ipv4Addr;

/// A pattern: lower case and signs are keywords, `a|b` is one of them, upper case is a kind of argument, and what it opens, if it opens a view.
pub(super) type Command = (&'static str, Option<&'static str>);
/// The commands of one view.
pub(super) type View = (&'static str, &'static [Command]);
pub(super) struct Grammar {
    /// What begins a comment.
    pub comment: &'static str,
    /// What leaves a view, `a|b` either; empty: a command of an outer one does.
    pub leave: &'static str,
    /// The first is where everything begins.
    pub views: &'static [View],
}

/// A line as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub view: &'static str,
    pub pattern: &'static str,
    pub words: Vec<String>,
}

/// Reads all of a text.
pub(super) fn read(grammar: &Grammar, text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    let mut open = vec![grammar.views[0].0];
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(grammar.comment)) {
        if grammar.leave.split('|').any(|leave| leave == line) {
            open.pop();
            if open.is_empty() {
                return Err(format!("`{line}` leaves nothing"));
            }
            continue;
        }
        let words = words(line)?;
        let found = loop {
            let view = *open.last().ok_or(format!("nothing knows `{line}`"))?;
            let commands = grammar.views.iter().find(|(name, _)| *name == view).map(|(_, commands)| *commands).unwrap();
            match commands.iter().find(|(pattern, _)| matches(pattern, &words)) {
                Some(found) => break (view, found),
                // Without a word that leaves a view, a command of an outer one does.
                None if grammar.leave.is_empty() && open.len() > 1 => drop(open.pop()),
                None => return Err(format!("{view} does not know `{line}`")),
            }
        };
        let (view, (pattern, opens)) = found;
        lines.push(Line { view, pattern, words });
        open.extend(*opens);
    }
    if !grammar.leave.is_empty() && open.len() > 1 {
        return Err(format!("{} is still open", open[open.len() - 1]));
    }
    Ok(lines)
}

/// Words: a space in double quotes ends none.
fn words(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for c in line.chars() {
        match words.last_mut() {
            Some(word) if c != ' ' || quoted => word.push(c),
            _ => words.push(String::new()),
        }
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    if quoted { Err(format!("a quote does not end in `{line}`")) } else { Ok(words) }
}

/// In double quotes, none of which ends before the end.
fn is_text(word: &str) -> bool {
    let Some(body) = word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return false };
    let mut escaped = false;
    let ends = body.chars().any(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    !ends && !escaped
}

fn matches(pattern: &str, words: &[String]) -> bool {
    let parts: Vec<&str> = pattern.split(' ').collect();
    parts.len() == words.len() && parts.iter().zip(words).all(|(part, word)| fits(part, word))
}

fn fits(part: &str, word: &str) -> bool {
    let plain = |more: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    match part {
        "NAME" => plain("-_") && word.starts_with(|c: char| c.is_ascii_alphabetic()),
        "ADDR" => word.parse::<Ipv4Addr>().is_ok() || word.starts_with("REPLACE-WITH-"),
        "MASK" => word
            .parse::<Ipv4Addr>()
            .is_ok_and(|mask| mask.to_bits().leading_ones() + mask.to_bits().trailing_zeros() >= 32),
        "WILDCARD" => word
            .parse::<Ipv4Addr>()
            .is_ok_and(|mask| mask.to_bits().leading_zeros() + mask.to_bits().trailing_ones() >= 32),
        "NET" => word
            .split_once('/')
            .is_some_and(|(a, len)| a.parse::<Ipv4Addr>().is_ok() && len.parse::<u8>().is_ok_and(|len| len <= 32)),
        "NUM" => !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()),
        "WORD" => plain("._-@:/+"),
        "PORT" => plain("./-"),
        "SECRET" => word.bytes().all(|b| b.is_ascii_graphic()),
        "TEXT" => is_text(word),
        "PLACE" => ["NET", "ADDR", "WORD"].iter().any(|kind| fits(kind, word)),
        _ if part.contains('=') => match (part.split_once('='), word.split_once('=')) {
            (Some((key, kind)), Some((name, value))) => key == name && fits(kind, value),
            _ => false,
        },
        _ => part.split('|').any(|keyword| keyword == word),
    }
}

/// The words of the first line with this beginning in a view.
pub(super) fn find<'l>(lines: &'l [Line], view: &str, beginning: &str) -> Option<&'l [String]> {
    let is = |line: &&Line| line.view == view && line.words.join(" ").starts_with(beginning);
    lines.iter().find(is).map(|line| &line.words[..])
}
/// The last word of it.
pub(super) fn last<'l>(lines: &'l [Line], view: &str, beginning: &str) -> Option<&'l str> {
    find(lines, view, beginning).and_then(|words| words.last()).map(String::as_str)
}

#[test]
fn a_grammar_refuses_what_it_does_not_know() {
    const G: Grammar = Grammar {
        comment: "#",
        leave: "quit",
        views: &[("top", &[("acl NUM", Some("acl"))]), ("acl", &[("rule permit|deny ADDR WILDCARD", None)])],
    };
    assert_eq!(read(&G, "# x\nacl 3000\n rule permit 10.0.0.0 0.0.0.255\n quit\n").unwrap().len(), 2);
    for wrong in
        ["acl\n", "acl 3000\n", "acl 3000\n rule permit 10.0.0.0 255.0.255.0\n quit\n", "quit\n", "acl 3000 x\n"]
    {
        assert!(read(&G, wrong).is_err(), "{wrong}");
    }
}
