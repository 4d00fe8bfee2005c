//! Strict compact JWS, JSON without duplicates, key sets.
