{{ union_canonical('consent_events') }}
