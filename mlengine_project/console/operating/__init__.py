"""Operations page: jobs, schedule, kill switch, keys and health."""
