//! Lines with a bound: a peer can't fill the memory with one that never ends.

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A whole line without its end.
    Whole(Vec<u8>),
    /// More than the bound came without an end.
    TooLong,
    /// The input ended. What came after the last line's end is no line: its writer was cut short.
    End,
}

/// Reads one line of at most `most` bytes. Cancelling loses what was read of the line so far in
/// `partial` only, which the caller keeps.
///
/// # Errors
/// When the input can't be read.
pub async fn read_line<R: AsyncBufRead + Unpin>(
    input: &mut R,
    partial: &mut Vec<u8>,
    most: usize,
) -> std::io::Result<Line> {
    loop {
        let available = input.fill_buf().await?;
        if available.is_empty() {
            return Ok(Line::End);
        }
        let end = available.iter().position(|b| *b == b'\n');
        let take = end.unwrap_or(available.len());
        if partial.len() + take > most {
            return Ok(Line::TooLong);
        }
        partial.extend_from_slice(&available[..take]);
        input.consume(take + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(Line::Whole(std::mem::take(partial)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_one_by_one_and_a_long_one_is_refused() {
        let mut input: &[u8] = b"one\ntwo\nmuch too long\n";
        let mut partial = Vec::new();
        assert_eq!(read_line(&mut input, &mut partial, 8).await.unwrap(), Line::Whole(b"one".to_vec()));
        assert_eq!(read_line(&mut input, &mut partial, 8).await.unwrap(), Line::Whole(b"two".to_vec()));
        assert_eq!(read_line(&mut input, &mut partial, 8).await.unwrap(), Line::TooLong);
    }

    #[tokio::test]
    async fn what_was_cut_short_is_no_line() {
        let mut input: &[u8] = b"one\nla";
        let mut partial = Vec::new();
        assert_eq!(read_line(&mut input, &mut partial, 8).await.unwrap(), Line::Whole(b"one".to_vec()));
        assert_eq!(read_line(&mut input, &mut partial, 8).await.unwrap(), Line::End);
    }
}
