"""From measures to a verdict: checks, floors, and the sentence that says what to do next."""
