"""Proofs that a computation looks back only, and that live equals batch."""
