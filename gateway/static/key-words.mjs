// What is said of security keys, of who sits at a workstation, and why something about them is refused.
import { language } from "/words.mjs";

const WORDS = {
  en: {
    byKey: "Sign in with a security key", waiting: "Touch your key …", retry: "Try again",
    lock: "Lock", people: "People and sessions", locked: "Locked. Beds, numbers and alarms go on; names and charts are away.",
    switchTo: "Sign in / switch", otherWay: "Another way to sign in",
    news: { enrolled: (label, at) => `A security key “${label}” was enrolled for you at ${at}.`,
      revoked: (label, at, by, why) => `Your security key “${label}” was revoked at ${at} by ${by}${why ? `: ${why}` : ""}.`,
      notYou: "If you do not know of this, tell the administrator now.", read: "I know of this" },
    enrol: name => `A security key for ${name}`, enrolAbout: "Plug it in or hold it to the reader, press the button, type the key’s PIN, touch it. This link opens once.",
    label: "What you call it", enrolButton: "Enrol this key", enrolled: "The key is enrolled. Sign in with it now.", toSignIn: "To sign-in", noName: "key",
    refused: {
      key_refused: "This key opens nothing here. Is it yours, and is it enrolled here? Else tell the administrator.",
      key_cancelled: "The key was not touched in time, or its PIN was not typed. Try again.",
      no_keys_here: "Security keys do not work at this address: open the page by its name (for a demo: localhost).",
      key_backed_up: "This key is copied to a cloud: take one of USB or NFC.", key_platform: "This key is built into the machine: take one of USB or NFC.",
      key_verification: "The key did not ask for its PIN: set one.", key_unknown_key: "This key is enrolled already.",
      needs_enrolment: "A first key needs the link of an administrator.",
      needs_fresh_sign_in: "Sign in once more, and do it within ten minutes.", link_used: "This link was used, or is older than 15 minutes: ask the administrator for a new one.",
      no_reason: "Say why: it stands in the record.", not_for_yourself: "Nobody opens an enrolment for himself.", no_such_person: "Nobody of this number works here.",
      second_person: "A second administrator must agree, neither who asked nor whose key it is.", changed: "It is not so any more: load the page anew.",
      no_such_ward: "There is no such ward.", no_label: "Say what the screen is called.", no_access: "You may not do this.",
      wait: seconds => `Too many tries: wait ${seconds} s.`, store_away: "The store does not answer: nothing was done. Try again.",
      server_away: "The server does not answer. Try again.", no_right: "This page may not change anything here: its login to the database is not a clerk.",
    },
    unknown: "Refused. Load the page anew; if it goes on, tell the administrator.",
  },
  zh: {
    byKey: "使用安全密钥登录", waiting: "请触摸密钥……", retry: "重试",
    lock: "锁定", people: "人员与会话", locked: "已锁定。床位、数值和报警继续显示，姓名和记录已隐藏。",
    switchTo: "登录／切换", otherWay: "其他登录方式",
    news: { enrolled: (label, at) => `已于 ${at} 为您登记安全密钥“${label}”。`,
      revoked: (label, at, by, why) => `您的安全密钥“${label}”已于 ${at} 由 ${by} 撤销${why ? `：${why}` : ""}。`,
      notYou: "如您不知情，请立即告知管理员。", read: "我已知悉" },
    enrol: name => `为 ${name} 登记安全密钥`, enrolAbout: "请插入密钥或贴近读卡器，点击按钮，输入密钥的 PIN 并触摸密钥。此链接只能使用一次。",
    label: "密钥名称", enrolButton: "登记此密钥", enrolled: "密钥已登记，请用它登录。", toSignIn: "前往登录", noName: "密钥",
    refused: {
      key_refused: "此密钥在本系统无效。请确认是您本人的密钥且已登记，否则请告知管理员。",
      key_cancelled: "未及时触摸密钥或未输入 PIN。请重试。",
      no_keys_here: "此地址不能使用安全密钥：请用域名打开页面（演示时用 localhost）。",
      key_backed_up: "此密钥会同步到云端：请使用 USB 或 NFC 密钥。", key_platform: "此密钥内置于本机：请使用 USB 或 NFC 密钥。",
      key_verification: "密钥未要求输入 PIN：请先设置 PIN。", key_unknown_key: "此密钥已登记。",
      needs_enrolment: "首个密钥须使用管理员提供的链接登记。",
      needs_fresh_sign_in: "请重新登录，并在十分钟内完成此操作。", link_used: "此链接已使用或已超过 15 分钟：请向管理员索取新链接。",
      no_reason: "请填写原因：原因将记录在案。", not_for_yourself: "不能为自己开放登记。", no_such_person: "没有此工号的在职人员。",
      second_person: "须由另一位管理员同意，且不能是申请人或密钥持有人。", changed: "情况已变：请重新加载页面。",
      no_such_ward: "没有此病区。", no_label: "请填写显示屏名称。", no_access: "您无权执行此操作。",
      wait: seconds => `尝试次数过多，请等待 ${seconds} 秒。`, store_away: "数据库无响应，未执行任何操作。请重试。",
      server_away: "服务器无响应。请重试。", no_right: "本页面无权修改：其数据库登录不是 clerk。",
    },
    unknown: "已拒绝。请重新加载页面；如仍失败，请告知管理员。",
  },
};

export const keyWords = () => WORDS[language];

// A sentence for a refusal; "" for none.
export function refusedText({ refused, waitS = 0 }) {
  const w = keyWords(), text = w.refused[refused];
  if (!refused) return "";
  return typeof text === "function" ? text(waitS) : text ?? w.unknown;
}
