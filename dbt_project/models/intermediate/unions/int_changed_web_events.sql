{{ changed_keys('web_events', carry=['anonymous_id', 'user_id', 'email_hash', 'occurred_at']) }}
