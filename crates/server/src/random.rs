//! What nobody can guess, from the operating system.

/// For the keys of hash tables.
pub(crate) fn seeds() -> Result<[u64; 4], std::io::Error> {
    let bytes: [u8; 32] = random()?;
    let mut seeds = [0; 4];
    for (seed, part) in seeds.iter_mut().zip(bytes.chunks_exact(8)) {
        *seed = part
            .iter()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte));
    }
    Ok(seeds)
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], std::io::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(bytes)
}
