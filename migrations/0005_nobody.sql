-- Whoever asks for a link to a new password leaves the same rows behind whether there is such an account or not (W128).

-- NULL: a link for nobody, that no token leads to.
ALTER TABLE enrolments ALTER COLUMN user_id DROP NOT NULL;
