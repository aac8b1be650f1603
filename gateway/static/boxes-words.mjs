// What the page of boxes says, in both languages.
import { language } from "/words.mjs";

const WORDS = {
  en: {
    title: "New boxes", waiting: "Boxes that wait", invited: "Invitations that no box has used",
    waitingAbout: h => `Compare the fingerprint with what the box itself shows, group by group, and agree only where all of it is the same. A box waits for ${h} hours.`,
    invitedAbout: min => `vitalwire registry edge invite --label 'ICU box 2' gives a code; it lets one box ask, within ${min} minutes.`,
    noneWaits: "No box waits.", noneInvited: "No invitation is open.", fingerprint: text => `Fingerprint: ${text}`, from: address => `asks from ${address}`,
    since: at => `since ${at}`, until: at => `until ${at}`, by: who => `invited by ${who}`, agree: "The fingerprint is the same: agree", refuse: "Refuse",
    reason: "Why (needed to refuse)",
    refused: { no_reason: "Say why it is refused: it stands in the record.", changed: "It waits no longer: somebody decided, or its time is over. Look again.",
      other_key: "The key is not the one that this page showed: do not agree. Load the page anew, and compare with the box.",
      key_not_taken: "This key was revoked or has expired: let the box make a new one, and invite it again." },
  },
  zh: {
    title: "新采集主机", waiting: "等待准入的采集主机", invited: "尚未使用的邀请码",
    waitingAbout: h => `请将指纹与采集主机自身显示的内容逐组核对，完全一致方可同意。采集主机最多等待 ${h} 小时。`,
    invitedAbout: min => `vitalwire registry edge invite --label 'ICU 盒 2' 生成邀请码：${min} 分钟内可供一台采集主机申请一次。`,
    noneWaits: "没有等待的采集主机。", noneInvited: "没有有效的邀请码。", fingerprint: text => `指纹：${text}`, from: address => `来自 ${address}`,
    since: at => `自 ${at} 起`, until: at => `有效至 ${at}`, by: who => `邀请人 ${who}`, agree: "指纹一致，同意", refuse: "拒绝",
    reason: "原因（拒绝时必填）",
    refused: { no_reason: "请填写拒绝的原因：原因将记录在案。", changed: "该申请已不再等待：他人已处理，或已过期。请重新查看。",
      other_key: "密钥与本页面显示的不一致：请勿同意。请重新加载页面，并与采集主机再次核对。", key_not_taken: "该密钥已被吊销或已过期：请在采集主机上生成新密钥，并重新邀请。" },
  },
};

export const boxWords = () => WORDS[language];
