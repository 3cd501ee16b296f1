//! Tables that fit the terminal: what is long is wrapped between words, and what has no room at all leaves whole columns out.
use tabled::builder::Builder;
use tabled::grid::util::string::{get_char_width, get_text_width};
use tabled::settings::object::Columns;
use tabled::settings::{Alignment, Style};

/// Blanks between two columns, as [`Style::blank`] sets them, and around all.
const GAP: usize = 3;
const EDGES: usize = 2;

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its head.
    pub title: &'static str,
    /// The highest leaves first where there is no room; 0 never does.
    pub leaves: u8,
    /// Numbers stand at the right.
    pub right: bool,
}
impl Column {
    /// A column of words.
    pub const fn new(title: &'static str, leaves: u8) -> Self {
        Self { title, leaves, right: false }
    }
    /// A column of numbers.
    pub const fn number(title: &'static str, leaves: u8) -> Self {
        Self { title, leaves, right: true }
    }
}

/// A table under way.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}
impl Table {
    /// Without rows.
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }
    /// One more row: a cell for each column.
    pub fn push(&mut self, row: impl IntoIterator<Item = String>) {
        let mut row: Vec<_> = row.into_iter().collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }
    /// As text, without trailing blanks; no line is wider than `width`.
    pub fn render(mut self, width: Option<usize>) -> String {
        self.columns.retain({
            // A column in which nothing stands says nothing.
            let filled: Vec<_> =
                (0..self.columns.len()).map(|i| self.rows.iter().any(|row| !row[i].is_empty())).collect();
            let rows = &mut self.rows;
            let all = rows.is_empty();
            if !all {
                rows.iter_mut().for_each(|row| retain(row, &filled));
            }
            let mut at = filled.into_iter();
            move |_| at.next().unwrap_or(true) || all
        });
        if let Some(width) = width {
            self.fit(width);
        }
        let mut builder = Builder::default();
        builder.push_record(self.columns.iter().map(|column| column.title));
        self.rows.into_iter().for_each(|row| builder.push_record(row));
        let mut table = builder.build();
        table.with(Style::blank());
        for (i, _) in self.columns.iter().enumerate().filter(|(_, column)| column.right) {
            table.modify(Columns::one(i), Alignment::right());
        }
        let text = table.to_string();
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    fn fit(&mut self, width: usize) {
        loop {
            let least =
                self.widths(|column, cell| if column.right { get_text_width(cell) } else { longest_word(cell) });
            if total(&least) <= width {
                let widths = shrink(self.widths(|_, cell| get_text_width(cell)), &least, width);
                return self.each_cell(|i, cell| wrap(cell, widths[i]));
            }
            let leaving = (0..self.columns.len()).max_by_key(|i| self.columns[*i].leaves);
            match leaving.filter(|i| self.columns[*i].leaves > 0) {
                Some(i) => {
                    self.columns.remove(i);
                    self.rows.iter_mut().for_each(|row| drop(row.remove(i)));
                }
                None => {
                    // Names that are longer than the terminal is wide.
                    let widths = shrink(least, &vec![4; self.columns.len()], width);
                    return self.each_cell(|i, cell| cut(cell, widths[i]));
                }
            }
        }
    }

    fn widths(&self, of: impl Fn(&Column, &str) -> usize) -> Vec<usize> {
        let of_column = |(i, column): (usize, &Column)| {
            self.rows.iter().map(|row| of(column, &row[i])).max().unwrap_or(0).max(get_text_width(column.title))
        };
        self.columns.iter().enumerate().map(of_column).collect()
    }

    fn each_cell(&mut self, change: impl Fn(usize, &str) -> String) {
        for row in &mut self.rows {
            row.iter_mut().enumerate().for_each(|(i, cell)| *cell = change(i, cell));
        }
    }
}

fn retain(row: &mut Vec<String>, filled: &[bool]) {
    let mut at = filled.iter();
    row.retain(|_| *at.next().unwrap_or(&true));
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + widths.len().saturating_sub(1) * GAP + EDGES
}

/// Takes from the widest, but nothing below `least`, until they fit.
fn shrink(mut widths: Vec<usize>, least: &[usize], width: usize) -> Vec<usize> {
    while total(&widths) > width {
        let widest = (0..widths.len()).filter(|i| widths[*i] > least[*i]).max_by_key(|i| widths[*i]);
        match widest {
            Some(i) => widths[i] -= 1,
            None => break,
        }
    }
    widths
}

/// An indented word counts with its indentation.
fn longest_word(cell: &str) -> usize {
    let indent = cell.len() - cell.trim_start().len();
    indent + cell.split_whitespace().map(get_text_width).max().unwrap_or(0)
}

/// Lines of at most `width`, broken between words.
fn wrap(cell: &str, width: usize) -> String {
    if get_text_width(cell) <= width {
        return cell.to_owned();
    }
    let indent = &cell[..cell.len() - cell.trim_start().len()];
    let mut lines = vec![indent.to_owned()];
    for word in cell.split_whitespace() {
        let line = lines.len() - 1;
        let begun = lines[line].len() > indent.len();
        if begun && get_text_width(&lines[line]) + 1 + get_text_width(word) > width {
            lines.push(format!("{indent}{word}"));
        } else {
            lines[line].push_str(if begun { " " } else { "" });
            lines[line].push_str(word);
        }
    }
    lines.join("\n")
}

/// The beginning of it.
fn cut(cell: &str, width: usize) -> String {
    if get_text_width(cell) <= width {
        return cell.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let fits = |c: &char| {
        let fits = get_char_width(*c) <= room;
        room = room.saturating_sub(get_char_width(*c));
        fits
    };
    cell.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns =
            [Column::new("NAME", 0), Column::new("STATE", 0), Column::new("NETWORKS", 1), Column::number("IN", 2)];
        let mut table = Table::new(&columns);
        table.push(["hangzhou", "up", "", ""].map(str::to_owned));
        table.push(["  lan", "up", "10.1.0.0/16, 10.20.0.0/16", "1.0 MiB"].map(str::to_owned));
        table
    }

    #[test]
    fn all_of_it_where_there_is_room() {
        let text = table().render(None);
        assert!(text.contains("  lan") && text.contains("10.1.0.0/16, 10.20.0.0/16   1.0 MiB"), "{text}");
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn words_stay_whole_and_columns_leave_in_their_order() {
        for width in 20..90 {
            let text = table().render(Some(width));
            assert!(text.lines().all(|line| get_text_width(line) <= width), "{width}\n{text}");
            let networks = text.contains("NETWORKS");
            assert_eq!(networks, text.contains("10.20.0.0/16"), "{width}\n{text}");
            assert!(networks || !text.contains(" IN"), "{width}: IN leaves before NETWORKS\n{text}");
        }
        let narrow = table().render(Some(42));
        assert!(narrow.contains("10.1.0.0/16,\n") && !narrow.contains(" IN"), "{narrow}");
    }

    #[test]
    fn a_name_without_end_is_cut() {
        let mut table = Table::new(&[Column::new("NAME", 0), Column::new("STATE", 0)]);
        table.push(["x".repeat(64), "up".into()]);
        let text = table.render(Some(30));
        assert!(text.lines().all(|line| get_text_width(line) <= 30) && text.contains('…'), "{text}");
    }

    #[test]
    fn an_empty_column_is_left_out() {
        let mut table = Table::new(&[Column::new("NAME", 0), Column::new("DEVICE", 1), Column::new("STATE", 0)]);
        table.push(["a".into(), String::new(), "up".into()]);
        let text = table.render(None);
        assert!(!text.contains("DEVICE") && text.contains("STATE"), "{text}");
    }
}
