//! Chance that is the same in every run.

/// Numbers that look random and follow from a seed.
///
/// Source: SplitMix64, as published by Steele, Lea and Flood.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The row of numbers that follows from a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A new uid, in the form of a random UUID.
    pub(crate) fn uid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            (low >> 48) & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }

    /// The end of a generated name.
    pub(crate) fn suffix(&mut self, letters: usize) -> String {
        safe(self.next(), letters)
    }
}

/// The letters that Kubernetes makes names of: no vowels, so that no words come out.
///
/// Source: `staging/src/k8s.io/apimachinery/pkg/util/rand/rand.go`.
const SAFE: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

fn safe(mut number: u64, letters: usize) -> String {
    let mut text = String::new();
    for _ in 0..letters {
        text.push(char::from(SAFE[(number % 27) as usize]));
        number /= 27;
    }
    text
}

/// A text in the letters that names are made of, one for one.
pub(crate) fn spelled(text: &str) -> String {
    text.bytes()
        .map(|byte| char::from(SAFE[usize::from(byte) % SAFE.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_row() {
        let (mut one, mut other) = (Random::new(7), Random::new(7));
        assert_eq!(one.uid(), other.uid());
        assert_ne!(one.uid(), one.uid());
    }
}
