"""How a store comes to be finished: begun, claimed by one writer, noted in a journal, completed; or resumed, or taken back."""
