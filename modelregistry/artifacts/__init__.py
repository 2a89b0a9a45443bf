"""Model artifacts on disk: a folder named by the digest of its manifest, never believed until checked.

Pure files and bytes: where the folders live is the registry's business.
"""
