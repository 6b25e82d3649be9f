{{ union_canonical('email_events') }}
