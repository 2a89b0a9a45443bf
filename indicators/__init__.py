"""Pure numerical code on candles, without Django, database or clock."""
