//! Randomness: one seed, forked by name.
//!
//! Every draw comes from a ChaCha8 stream whose key is named after what the draw is for. So one more draw in
//! one place shifts no other, and what is drawn for message 7 does not depend on whether there was a message 6.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use sha2::{Digest, Sha256};

/// The words of a stream that one position may draw: what the generator makes at a time.
const WORDS_PER_POSITION: u128 = 64;

/// The key of a family of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// The root of a run.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self(Sha256::digest(seed.to_le_bytes()).into())
    }

    /// The key of this name below this key.
    #[must_use]
    pub fn fork(&self, name: impl AsRef<[u8]>) -> Self {
        Self(Sha256::new().chain_update(self.0).chain_update(name).finalize().into())
    }

    /// The draws at a place of a stream: a pure function of the key and the two numbers. Two positions of one
    /// stream do not overlap as long as each draws at most 256 bytes; [`Draws::fill`] of a position may
    /// draw more when the stream has no others.
    #[must_use]
    pub fn at(&self, stream: u64, position: u64) -> Draws {
        let mut rng = ChaCha8Rng::from_seed(self.0);
        rng.set_stream(stream);
        if position > 0 {
            rng.set_word_pos(u128::from(position) * WORDS_PER_POSITION);
        }
        Draws(rng)
    }
}

/// A stream of draws.
#[derive(Clone, Debug)]
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`; 0 when `end` is 0. The bias is below `end` / 2^64.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// A number from `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below((most - least).saturating_add(1))
    }

    /// Whether something with this probability happens. The comparison is exact on every machine.
    #[allow(clippy::cast_precision_loss)] // 53 bits fit.
    pub fn chance(&mut self, probability: f64) -> bool {
        const SCALE: f64 = 1.0 / (1_u64 << 53) as f64;
        ((self.bits() >> 11) as f64 * SCALE) < probability
    }

    /// Random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_gives_the_same_draws_whatever_was_drawn_before() {
        let key = Key::of_seed(7).fork("messages");
        let mut here = key.at(3, 9);
        let first: Vec<u64> = (0..32).map(|_| here.bits()).collect();
        let mut again = key.at(3, 9);
        assert_eq!(first, (0..32).map(|_| again.bits()).collect::<Vec<_>>());
        let others = [
            key.at(3, 8),
            key.at(4, 9),
            Key::of_seed(8).fork("messages").at(3, 9),
            Key::of_seed(7).fork("timers").at(3, 9),
        ];
        for mut other in others {
            assert!((0..32).map(|_| other.bits()).all(|draw| !first.contains(&draw)));
        }
    }

    #[test]
    fn draws_keep_their_limits_and_use_them() {
        let mut draws = Key::of_seed(1).at(0, 0);
        let seen: std::collections::BTreeSet<u64> = (0..1000).map(|_| draws.between(5, 9)).collect();
        assert_eq!(seen, (5..=9).collect());
        assert_eq!(draws.below(0), 0);
        assert_eq!(draws.between(4, 4), 4);
        assert!(!draws.chance(0.0));
        assert!(draws.chance(1.0));
        let often = (0..10_000).filter(|_| draws.chance(0.1)).count();
        assert!((800..1200).contains(&often), "{often} of 10000 with probability 0.1");
    }
}
