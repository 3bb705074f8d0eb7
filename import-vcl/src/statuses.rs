//! Lists of statuses: `"404"`, `"500-599"`.

const ALL: (u16, u16) = (100, 599);

/// Returns the statuses that are in both lists.
pub(crate) fn intersection(one: &[String], other: &[String]) -> Vec<String> {
    let others = ranges(other);
    let both = ranges(one).into_iter().flat_map(|(low, high)| {
        let others = others.clone();
        others.into_iter().map(move |(other, end)| (low.max(other), high.min(end)))
    });
    both.filter(|(low, high)| low <= high).map(shown).collect()
}

/// Returns the statuses that are not in a list.
pub(crate) fn complement(list: &[String]) -> Vec<String> {
    let mut ranges = ranges(list);
    ranges.sort_unstable();
    let mut rest = Vec::new();
    let mut next = ALL.0;
    for (low, high) in ranges {
        if next < low {
            rest.push((next, low - 1));
        }
        next = next.max(high + 1);
    }
    if next <= ALL.1 {
        rest.push((next, ALL.1));
    }
    rest.into_iter().map(shown).collect()
}

fn ranges(list: &[String]) -> Vec<(u16, u16)> {
    let read = |item: &String| {
        let (low, high) = item.split_once('-').unwrap_or((item, item));
        Some((low.parse().ok()?, high.parse().ok()?))
    };
    list.iter().filter_map(read).collect()
}

fn shown((low, high): (u16, u16)) -> String {
    if low == high { low.to_string() } else { format!("{low}-{high}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_and_turned_over() {
        let list = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(intersection(&list("500-599"), &list("100-599")), list("500-599"));
        assert_eq!(intersection(&list("200-299 404"), &list("204 400-499")), list("204 404"));
        assert_eq!(complement(&list("200 404")), list("100-199 201-403 405-599"));
        assert_eq!(complement(&list("500-599")), list("100-499"));
        assert_eq!(complement(&list("100-599")), Vec::<String>::new());
    }
}
