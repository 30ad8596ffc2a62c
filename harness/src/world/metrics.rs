//! Metrics pages in an order that does not vary.
//!
//! Knows: that in the Prometheus and OpenMetrics text formats the order of a family's series says
//! nothing (clients keep them in hash maps). Must not know: any metric.

/// The page with each family's series sorted by their labels; what belongs to one series (a
/// histogram's buckets, sum and count) keeps its order. Comment lines stay where they are.
pub(crate) fn in_order(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    let mut family: Vec<&str> = Vec::new();
    let flush = |out: &mut String, family: &mut Vec<&str>| {
        family.sort_by_cached_key(|line| labels(line));
        family.drain(..).for_each(|line| out.push_str(line));
    };
    for line in page.split_inclusive('\n') {
        if line.starts_with('#') {
            flush(&mut out, &mut family);
            out.push_str(line);
        } else {
            family.push(line);
        }
    }
    flush(&mut out, &mut family);
    out
}

/// The labels of a sample, without the bucket's bound.
fn labels(line: &str) -> String {
    let sample = line.split(" # ").next().unwrap_or(line);
    let (Some(from), Some(to)) = (sample.find('{'), sample.rfind('}')) else { return String::new() };
    let all = sample.get(from + 1..to).unwrap_or_default();
    let Some(bound) = all.find("le=\"").filter(|at| *at == 0 || all[..*at].ends_with(',')) else {
        return all.to_owned();
    };
    let rest = all[bound + 4..].split_once('"').map_or("", |(_, rest)| rest);
    format!("{}{}", &all[..bound], rest.trim_start_matches(',')).trim_end_matches(',').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_sorted_and_buckets_stay_in_their_order() {
        let a = "# TYPE t histogram\nt_sum{v=\"b\"} 1\nt_count{v=\"b\"} 1\nt_bucket{le=\"2.5\",v=\"b\"} 0\n\
                 t_bucket{le=\"10\",v=\"b\"} 1\nt_sum{v=\"a\"} 2\nt_bucket{le=\"2.5\",v=\"a\"} 2\n# TYPE c counter\nc 1\n# EOF\n";
        let b = "# TYPE t histogram\nt_sum{v=\"a\"} 2\nt_bucket{le=\"2.5\",v=\"a\"} 2\nt_sum{v=\"b\"} 1\n\
                 t_count{v=\"b\"} 1\nt_bucket{le=\"2.5\",v=\"b\"} 0\nt_bucket{le=\"10\",v=\"b\"} 1\n# TYPE c counter\nc 1\n# EOF\n";
        assert_eq!(in_order(a), b);
        assert_eq!(in_order(b), b);
    }
}
