//! Zipf's law: the person of rank k is asked for in proportion to 1 / k^s, as people's names are.
//! Exact: a cumulative table and a binary search.

/// A distribution over ranks.
pub struct Zipf {
    /// The share of all ranks up to each; the last is 1.
    cumulative: Vec<f64>,
}

impl Zipf {
    pub fn new(exponent: f64, people: u32) -> Self {
        let weights = (1..=people).map(|rank| f64::from(rank).powf(-exponent));
        let total: f64 = weights.clone().sum();
        let mut sum = 0.0;
        let cumulative = weights.map(|weight| {
            sum += weight;
            sum / total
        });
        Self {
            cumulative: cumulative.collect(),
        }
    }

    /// A rank, from 0.
    pub fn sample(&self, random: &mut fastrand::Rng) -> usize {
        let at = random.f64();
        let rank = self.cumulative.partition_point(|share| *share <= at);
        // The last sum may fall short of 1 by a rounding error.
        rank.min(self.cumulative.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]

    use std::collections::HashSet;

    use super::*;

    const DRAWS: u32 = 100_000;

    fn counts(exponent: f64, people: u32) -> Vec<f64> {
        let zipf = Zipf::new(exponent, people);
        let mut random = fastrand::Rng::with_seed(7);
        let mut counts = vec![0.0; zipf.cumulative.len()];
        for _ in 0..DRAWS {
            counts[zipf.sample(&mut random)] += 1.0;
        }
        counts
    }

    #[test]
    fn shares_follow_the_law() {
        let counts = counts(1.1, 2000);
        // 1 / (sum of k^-1.1 for k up to 2000) = 0.1758.
        let harmonic: f64 = (1..=2000).map(|k| f64::from(k).powf(-1.1)).sum();
        for rank in [1_u32, 2, 3, 10, 50] {
            let expected = f64::from(DRAWS) * f64::from(rank).powf(-1.1) / harmonic;
            let got = counts[usize::try_from(rank - 1).unwrap_or_default()];
            // Five standard deviations of a count.
            assert!(
                (got - expected).abs() < 5.0 * expected.sqrt(),
                "rank {rank}: {got}, {expected}"
            );
        }
    }

    #[test]
    fn exponent_zero_makes_all_alike() {
        for count in counts(0.0, 10) {
            assert!((count - 10_000.0).abs() < 500.0, "{count}");
        }
    }

    #[test]
    fn ten_thousand_lookups_name_about_as_many_people_as_computed() {
        let zipf = Zipf::new(1.1, 2000);
        let mut random = fastrand::Rng::with_seed(1);
        let drawn: HashSet<usize> = (0..10_000).map(|_| zipf.sample(&mut random)).collect();
        let drawn = f64::from(u32::try_from(drawn.len()).unwrap_or_default());
        let shares = (1..=2000)
            .map(|k| f64::from(k).powf(-1.1))
            .collect::<Vec<_>>();
        let total: f64 = shares.iter().sum();
        let never = |share: &f64| (1.0 - share / total).powf(10_000.0);
        let computed = 2000.0 - shares.iter().map(never).sum::<f64>();
        assert!((drawn - computed).abs() < 40.0, "{drawn}, {computed}");
    }

    #[test]
    fn one_person_is_always_the_first() {
        let zipf = Zipf::new(2.0, 1);
        assert_eq!(zipf.sample(&mut fastrand::Rng::with_seed(3)), 0);
    }
}
