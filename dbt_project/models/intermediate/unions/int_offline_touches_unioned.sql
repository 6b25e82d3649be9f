{{ union_canonical('offline_touches') }}
