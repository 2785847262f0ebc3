"""Members of a Telegram message that are about the chat and not said by anybody, and those that are only about it."""

from __future__ import annotations

from normalizer.wordlists import listed

SERVICE = listed("""
    new_chat_members new_chat_member new_chat_participant left_chat_member left_chat_participant
    new_chat_title new_chat_photo delete_chat_photo group_chat_created supergroup_chat_created channel_chat_created
    message_auto_delete_timer_changed migrate_to_chat_id migrate_from_chat_id pinned_message
    successful_payment refunded_payment users_shared user_shared chat_shared connected_website write_access_allowed
    passport_data proximity_alert_triggered boost_added chat_background_set chat_owner_changed chat_owner_left
    checklist_tasks_done checklist_tasks_added direct_message_price_changed paid_message_price_changed
    forum_topic_created forum_topic_edited forum_topic_closed forum_topic_reopened
    general_forum_topic_hidden general_forum_topic_unhidden giveaway_created giveaway_completed
    gift unique_gift gift_upgrade_sent managed_bot_created poll_option_added poll_option_deleted
    suggested_post_approved suggested_post_approval_failed suggested_post_declined suggested_post_paid
    suggested_post_refunded video_chat_scheduled video_chat_started video_chat_ended video_chat_participants_invited
    voice_chat_scheduled voice_chat_started voice_chat_ended voice_chat_participants_invited web_app_data
    community_chat_added community_chat_removed
""")
"""Service messages (Bot API 10.3, Message)."""
_ABOUT = listed("""
    message_id message_thread_id direct_messages_topic from date chat edit_date via_bot quote external_reply
    media_group_id author_signature paid_star_count text entities caption caption_entities link_preview_options
    suggested_post_info effect_id show_caption_above_media business_connection_id ephemeral_message_id receiver_user
""")
_ABOUT_PREFIXES = ("is_", "has_", "reply_", "forward_", "sender_", "guest_")


def is_about(name: str) -> bool:
    """Whether a member says something about a message, and is no content of its own."""
    return name in _ABOUT or name.startswith(_ABOUT_PREFIXES)
