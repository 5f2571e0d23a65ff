//! What has happened to mounts and to the process that serves them, for the status.

use std::collections::VecDeque;

/// The most sentences of each kind, the newest.
const MOST: usize = 32;

/// Sentences for the status. What was lost stays, however much else has happened since.
#[derive(Debug, Default)]
pub(super) struct Journal {
    losses: VecDeque<String>,
    /// Losses that are in the log only.
    older: u64,
    notices: VecDeque<String>,
}

impl Journal {
    /// Something is lost: pages that were not written out, files, a mount.
    pub(super) fn lost(&mut self, text: String) {
        self.losses.push_back(text);
        if self.losses.len() > MOST {
            self.losses.pop_front();
            self.older += 1;
        }
    }

    /// Something has happened that lost nothing.
    pub(super) fn happened(&mut self, text: String) {
        self.notices.push_back(text);
        if self.notices.len() > MOST {
            self.notices.pop_front();
        }
    }

    /// All sentences, losses first, each kind in the order in which it happened.
    pub(super) fn sentences(&self) -> Vec<String> {
        let older = (self.older > 0).then(|| {
            format!(
                "{} earlier losses of mounts, too many for the status, are in the log",
                self.older
            )
        });
        let newest = self.losses.iter().chain(&self.notices).cloned();
        older.into_iter().chain(newest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_notice_takes_the_place_of_a_loss() {
        let mut journal = Journal::default();
        journal.lost("a file".into());
        for number in 0..100 {
            journal.happened(format!("notice {number}"));
        }
        let sentences = journal.sentences();
        assert_eq!(sentences.len(), 1 + MOST);
        assert_eq!(sentences[0], "a file");
        assert_eq!(sentences[MOST], "notice 99");
    }

    #[test]
    fn losses_that_are_too_many_are_counted() {
        let mut journal = Journal::default();
        for number in 0..MOST + 5 {
            journal.lost(format!("loss {number}"));
        }
        let sentences = journal.sentences();
        assert_eq!(sentences.len(), 1 + MOST);
        assert!(
            sentences[0].starts_with("5 earlier losses"),
            "{}",
            sentences[0]
        );
        assert_eq!(sentences[1], "loss 5");
    }
}
