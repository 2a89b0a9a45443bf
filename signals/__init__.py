"""Trading signals: one per closed candle, a refusal with reasons included."""
