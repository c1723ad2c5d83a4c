//! Layer edges: the table in `docs/architecture.md` is the only list of them.

use super::finding::Finding;
use super::workspace::{Member, Workspace};
use anyhow::Result;

const PAGE: &str = "docs/architecture.md";
const HEADING: &str = "## Allowed edges";

/// Compares the members' normal and build dependencies with the table.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let rows = parse(&workspace.read(PAGE)?);
    Ok(compare(&rows, &workspace.members))
}

/// One row: a member's folder and what it may depend on.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    folder: String,
    allowed: Allowed,
}

#[derive(Debug, PartialEq, Eq)]
enum Allowed {
    Anything,
    /// Last parts of the folders below `crates/`; empty for `nothing`.
    These(Vec<String>),
}

/// Rows of the first table below the heading, such as ``| `crates/cli` | `facade`, `simulator` |``.
fn parse(page: &str) -> Vec<Row> {
    let section = page.lines().skip_while(|line| line.trim() != HEADING).skip(1);
    let section = section.take_while(|line| !line.starts_with("## "));
    section.filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let mut cells = line.trim().strip_prefix('|')?.split('|').map(str::trim);
    let folder = cells.next()?.strip_prefix('`')?.strip_suffix('`')?.to_owned();
    let names = cells.next()?;
    let allowed = match names {
        "anything" => Allowed::Anything,
        "nothing" => Allowed::These(Vec::new()),
        _ => Allowed::These(names.split(',').map(|name| name.trim().trim_matches('`').to_owned()).collect()),
    };
    Some(Row { folder, allowed })
}

fn compare(rows: &[Row], members: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if rows.is_empty() {
        let fix = format!("add a table of folders and what each may depend on under `{HEADING}`");
        return vec![Finding::new(PAGE, "has no table of allowed edges", fix)];
    }
    for (at, row) in rows.iter().enumerate() {
        if !members.iter().any(|member| member.folder == row.folder) {
            findings.push(Finding::new(PAGE, format!("`{}` is no member", row.folder), "remove its row"));
        }
        findings.extend(upward(row, &rows[..at]));
    }
    for member in members {
        match rows.iter().find(|row| row.folder == member.folder) {
            Some(row) => findings.extend(member.needs.iter().filter_map(|need| forbidden(row, need))),
            None => {
                findings.push(Finding::new(PAGE, format!("no row for `{}`", member.folder), "add its row"))
            }
        }
    }
    findings
}

/// Names of a row that do not stand above it.
fn upward(row: &Row, above: &[Row]) -> Vec<Finding> {
    let Allowed::These(names) = &row.allowed else { return Vec::new() };
    let missing = names.iter().filter(|name| !above.iter().any(|row| row.folder == format!("crates/{name}")));
    missing
        .map(|name| {
            let problem = format!("`{}` may depend on `{name}`, which is not a row above it", row.folder);
            Finding::new(PAGE, problem, "edges point down: list lower layers first, or drop the edge")
        })
        .collect()
}

fn forbidden(row: &Row, need: &str) -> Option<Finding> {
    let allowed = match &row.allowed {
        Allowed::Anything => true,
        Allowed::These(names) => names.iter().any(|name| format!("crates/{name}") == need),
    };
    let problem = format!("depends on `{need}`, an edge that {PAGE} does not allow");
    let fix =
        "move the shared trait to core-types; only a decision about the layers adds the edge to the table";
    (!allowed).then(|| Finding::new(format!("{}/Cargo.toml", row.folder), problem, fix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
# Architecture

| `crates/not-this-table` | `x` |

## Allowed edges

| Folder | May depend on |
| --- | --- |
| `crates/core-types` | nothing |
| `crates/transport` | `core-types` |
| `crates/facade` | `core-types`, `transport` |
| `tests` | anything |

## Later

| `crates/nor-this` | `x` |
";

    fn member(folder: &str, needs: &[&str]) -> Member {
        let needs = needs.iter().map(|need| (*need).to_owned()).collect();
        Member { needs, ..Member::sample(folder, "") }
    }

    fn members() -> Vec<Member> {
        vec![
            member("crates/core-types", &[]),
            member("crates/transport", &["crates/core-types"]),
            member("crates/facade", &["crates/core-types", "crates/transport"]),
            member("tests", &["crates/facade", "crates/transport"]),
        ]
    }

    #[test]
    fn reads_only_the_rows_below_the_heading() {
        let rows = parse(TABLE);
        let folders: Vec<_> = rows.iter().map(|row| row.folder.as_str()).collect();
        assert_eq!(folders, ["crates/core-types", "crates/transport", "crates/facade", "tests"]);
        assert_eq!(rows[2].allowed, Allowed::These(vec!["core-types".into(), "transport".into()]));
        assert_eq!(rows[3].allowed, Allowed::Anything);
    }

    #[test]
    fn accepts_the_edges_of_the_table() {
        assert_eq!(compare(&parse(TABLE), &members()), []);
    }

    #[test]
    fn refuses_an_edge_that_is_not_in_the_table() {
        let mut members = members();
        members[1].needs.push("crates/facade".into());
        let found = compare(&parse(TABLE), &members);
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("crates/transport/Cargo.toml: depends on `crates/facade`"));
    }

    #[test]
    fn wants_a_row_for_each_member_and_a_member_for_each_row() {
        let mut members = members();
        members[3].folder = "elsewhere".into();
        let found: Vec<_> = compare(&parse(TABLE), &members).iter().map(ToString::to_string).collect();
        assert!(found[0].contains("`tests` is no member"), "{found:?}");
        assert!(found[1].contains("no row for `elsewhere`"), "{found:?}");
    }

    #[test]
    fn refuses_a_table_whose_edge_points_up() {
        let table = TABLE.replace("| `crates/core-types` | nothing |", "| `crates/core-types` | `facade` |");
        let found = compare(&parse(&table), &members());
        assert!(found[0].to_string().contains("not a row above it"), "{found:?}");
    }

    #[test]
    fn refuses_a_page_without_the_table() {
        assert_eq!(compare(&parse("# Architecture\n"), &members()).len(), 1);
    }
}
