//! Where an input is cut.

/// Cuts the rest of `input` where its first octets say: up to four cuts, two octets each.
pub(crate) fn cut(input: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let (head, rest) = input.split_at(input.len().min(8));
    let mut cuts: Vec<usize> = head
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |sum, octet| sum * 256 + usize::from(*octet)))
        .map(|cut| cut % (rest.len() + 1))
        .collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut left = rest;
    let mut taken = 0;
    for cut in cuts {
        let (piece, behind) = left.split_at(cut - taken);
        pieces.push(piece);
        (left, taken) = (behind, cut);
    }
    pieces.push(left);
    (rest, pieces)
}
