{{ union_canonical('web_events') }}
