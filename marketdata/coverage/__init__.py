"""Which candles are stored, missing or absent: gaps, halts, evidence and refused rows."""
