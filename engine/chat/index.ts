/** What the rest of the engine, and the command line, import from here. */
export { CHAT_ROLES, type ChatMessage, type ChatRole, type TextPart, type ToolCall } from './chat-message.ts';
export { type ChatRenderOptions, ChatTemplate, type ChatTemplateOptions } from './chat-template.ts';
export {
  type ConversationOptions,
  ConversationRenderer,
  type RenderedConversation,
  renderConversation,
} from './conversation-renderer.ts';
